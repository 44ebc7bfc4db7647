"""Callers that hold and settle for ever and write down what they were told, as clients would."""

import asyncio
import json
import random
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from libs.events.commands import KIND_CODES
from libs.events.ids import new_id, parse_id, partition_of
from libs.runtime.command_client import CommandClient
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import grant, issue_key, open_account, reserve, settle
from tests.support.publishing import selling
from tests.support.waiting import until

PATIENT_S = 30.0


class Caller:
    """Holds and settles for ever, and writes down every reply it got."""

    def __init__(self, client: CommandClient, account: str, key: str, file: Path) -> None:
        self.client = client
        self.account = account
        self.key = key
        self.file = file
        self.stopping = False
        self.in_flight: str | None = None
        self.answered = 0

    async def run(self, rng: random.Random) -> None:
        with self.file.open("a") as file:
            while not self.stopping:
                res = new_id("req")
                deadline = self.client.ledger_now() + timedelta(hours=1)
                held = reserve(self.account, self.key, 10, deadline, res=res)
                await self._send(held, file)
                await self._send(settle(self.account, res, rng.randint(0, 10)), file)

    async def _send(self, command: Any, file: Any) -> None:
        self.in_flight = f"{command.kind} {command.caller_id}"
        reply = await self.client.send(command, give_up_s=PATIENT_S)
        assert reply.reply in {"Reserved", "Settled"}, reply
        line = [command.kind, command.caller_id, self.account, reply.position, reply.event_count]
        file.write(json.dumps(line) + "\n")
        file.flush()
        self.answered += 1
        self.in_flight = None


class Load:
    """Callers on accounts of every partition, and what they were told."""

    def __init__(self, callers: list[Caller], rng: random.Random) -> None:
        self.callers = callers
        self.rng = rng
        self.tasks = [asyncio.create_task(caller.run(rng)) for caller in callers]

    async def for_a_while(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.02, 0.2))

    @property
    def in_flight(self) -> set[str]:
        return {caller.in_flight for caller in self.callers if caller.in_flight}

    async def goes_on(self) -> None:
        """Wait until every caller was answered once more than it may have been already."""
        before = {caller: caller.answered for caller in self.callers}

        async def answered() -> bool:
            assert all(not task.done() for task in self.tasks)
            return all(caller.answered > count + 1 for caller, count in before.items())

        await until(answered, patience_s=PATIENT_S)

    async def end(self) -> None:
        for caller in self.callers:
            caller.stopping = True
        await asyncio.wait_for(asyncio.gather(*self.tasks), PATIENT_S)


async def rich(client: CommandClient, partition: int | None = None) -> tuple[str, str]:
    """An account with a key and more than any test spends; of this partition, if one is named."""
    account, key = new_id("acct"), new_id("key")
    while partition is not None and partition_of(account, PARTITIONS) != partition:
        account = new_id("acct")
    deadline = client.ledger_now() + timedelta(seconds=60)
    for command in (
        selling(account), open_account(account), issue_key(account, key, deadline), grant(account, 10**9)
    ):  # fmt: skip
        await client.send(command, give_up_s=PATIENT_S)
    return account, key


async def logged(database: Database, accounts: Collection[str] = ()) -> dict[str, tuple[int, int]]:
    """Every Reserve and Settle in the log (of these accounts): its position and its events."""
    connection = await asyncpg.connect(database.dsn("auditor"))
    try:
        rows = await connection.fetch(
            "select kind, caller_id, position, event_count from ledger.commands"
            " where account_id = any($1) or cardinality($1) = 0",
            [parse_id(account, "acct") for account in accounts],
        )
    finally:
        await connection.close()
    names = {code: kind for kind, code in KIND_CODES.items()}
    return {
        f"{names[row['kind']]} req_{row['caller_id'].hex}": (row["position"], row["event_count"])
        for row in rows
        if names[row["kind"]] in {"Reserve", "Settle"}
    }


def acknowledged(folder: Path) -> dict[str, tuple[int, int]]:
    """The callers' own files: first position and number of events of what they were told."""
    lines = [
        json.loads(line)
        for path in folder.glob("acknowledged-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return {
        f"{kind} {caller}": (position - count + 1, count)
        for kind, caller, _account, position, count in lines
    }
