"""kill -9 of the ledger under load: what was acknowledged is in the log, and nothing else is."""

import asyncio
import itertools
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from libs.events.commands import KIND_CODES
from libs.events.ids import new_id
from libs.runtime.command_client import CommandClient
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import grant, issue_key, open_account, reserve, settle
from tests.support.process import Process
from tests.support.services import example_config, ledger_client
from tests.support.waiting import until

SEED = 20261120
KILLS = 20
CALLERS = 12
PATIENT_S = 30.0
AFTER_APPEND = {"FAREBOX_FAULTS": "1", "FAREBOX_FAULT_POINT": "after_append:7"}


class Caller:
    """Holds and settles for ever, and writes down every reply it got, as a client would."""

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


async def rich(client: CommandClient) -> tuple[str, str]:
    account, key = new_id("acct"), new_id("key")
    deadline = client.ledger_now() + timedelta(seconds=60)
    for command in (
        open_account(account), issue_key(account, key, deadline), grant(account, 10**9)
    ):  # fmt: skip
        await client.send(command, give_up_s=PATIENT_S)
    return account, key


async def logged(database: Database) -> dict[str, tuple[int, int]]:
    """Every Reserve and Settle in the log: its position and number of events."""
    connection = await asyncpg.connect(database.dsn("auditor"))
    try:
        rows = await connection.fetch(
            "select kind, caller_id, position, event_count from ledger.commands"
        )
    finally:
        await connection.close()
    names = {code: kind for kind, code in KIND_CODES.items()}
    return {
        f"{names[row['kind']]} req_{row['caller_id'].hex}": (row["position"], row["event_count"])
        for row in rows
        if names[row["kind"]] in {"Reserve", "Settle"}
    }


class Cluster:
    """The ledger that is killed again and again, and the one that dies by itself in between."""

    def __init__(self, database: Database, folder: Path) -> None:
        config = example_config(folder)
        self.ledger = Process("ledger", database, folder, config=config)
        self.faulty = Process("ledger-2", database, folder, config=config, env=AFTER_APPEND)
        self.reader = Process("reader", database, folder, config=config)

    def start(self) -> None:
        self.reader.start(ready=False)
        self.ledger.start()

    async def kill(self, *, at_fault_point: bool) -> None:
        """SIGKILL: at any moment, or right after an append and before its replies."""
        self.ledger.kill()
        self.ledger.wait()
        if at_fault_point:
            self.faulty.start(ready=False)
            await until(self._died, patience_s=30)

    async def _died(self) -> bool:
        return not self.faulty.alive

    def stop(self) -> None:
        for process in (self.ledger, self.faulty, self.reader):
            process.stop()


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
        """Wait until more was answered than had been asked already."""
        enough = sum(caller.answered for caller in self.callers) + len(self.callers)

        async def answered() -> bool:
            assert all(not task.done() for task in self.tasks)
            return sum(caller.answered for caller in self.callers) > enough

        await until(answered, patience_s=PATIENT_S)

    async def end(self) -> None:
        for caller in self.callers:
            caller.stopping = True
        await asyncio.wait_for(asyncio.gather(*self.tasks), PATIENT_S)


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


@pytest.mark.requirement("RSV-3", "CRD-5", "AUD-1")
async def test_acknowledged_replies_equal_the_log_after_twenty_kills(database, streams, tmp_path):
    rng = random.Random(SEED)
    cluster = Cluster(database, tmp_path)
    between = 0
    try:
        cluster.start()
        async with (
            ledger_client(database, "admin", "admin") as admin,
            ledger_client(database, "gateway", "use") as use,
        ):
            await admin.check_installation()
            await use.check_installation()
            accounts = [await rich(admin) for _ in range(PARTITIONS * 2)]
            files = (tmp_path / f"acknowledged-{i}.jsonl" for i in range(CALLERS))
            pairs = zip(itertools.cycle(accounts), files, strict=False)
            load = Load([Caller(use, *account, file) for account, file in pairs], rng)
            for kill in range(KILLS):
                await load.for_a_while()
                await cluster.kill(at_fault_point=kill % 4 == 0)
                between += len(load.in_flight & (await logged(database)).keys())
                cluster.ledger.start(ready=False)
                await load.goes_on()
            await load.end()
    finally:
        cluster.stop()
    told = acknowledged(tmp_path)
    assert told == await logged(database)
    assert between > 0, "no kill fell between an append and its reply: nothing was proven"
    assert len(told) > KILLS * CALLERS
