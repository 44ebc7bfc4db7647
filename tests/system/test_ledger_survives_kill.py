"""kill -9 of the ledger under load: what was acknowledged is in the log, and nothing else is."""

import asyncio
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


@pytest.mark.requirement("RSV-3", "CRD-5", "AUD-1")
async def test_acknowledged_replies_equal_the_log_after_twenty_kills(database, streams, tmp_path):
    rng = random.Random(SEED)
    config = example_config(tmp_path)
    ledger = Process("ledger", database, tmp_path, config=config)
    faulty = Process("ledger-2", database, tmp_path, config=config, env=AFTER_APPEND)
    reader = Process("reader", database, tmp_path, config=config)
    between = 0
    try:
        reader.start(ready=False)
        ledger.start()
        async with (
            ledger_client(database, "admin", "admin") as admin,
            ledger_client(database, "gateway", "use") as use,
        ):
            await admin.check_installation()
            await use.check_installation()
            accounts = [await rich(admin) for _ in range(PARTITIONS * 2)]
            callers = [
                Caller(use, *accounts[i % len(accounts)], tmp_path / f"acknowledged-{i}.jsonl")
                for i in range(CALLERS)
            ]
            tasks = [asyncio.create_task(caller.run(rng)) for caller in callers]
            for kill in range(KILLS):
                await asyncio.sleep(rng.uniform(0.02, 0.2))
                victim = faulty if kill % 4 == 0 else ledger
                if victim is faulty:
                    # The fault point: dies by SIGKILL right after an append, before its replies.
                    ledger.kill()
                    ledger.wait()
                    faulty.start(ready=False)

                    async def died() -> bool:
                        return not faulty.alive

                    await until(died, patience_s=30)
                else:
                    ledger.kill()
                    ledger.wait()
                waiting = {caller.in_flight for caller in callers if caller.in_flight}
                between += len(waiting & (await logged(database)).keys())
                assert all(not task.done() for task in tasks)
                before = sum(caller.answered for caller in callers)
                ledger.start(ready=False)

                async def goes_on(before: int = before) -> bool:
                    return sum(caller.answered for caller in callers) > before + CALLERS

                await until(goes_on, patience_s=30)
            for caller in callers:
                caller.stopping = True
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENT_S)
    finally:
        for process in (ledger, faulty, reader):
            process.stop()
    acknowledged = {
        f"{kind} {caller}": (position - count + 1, count)
        for path in tmp_path.glob("acknowledged-*.jsonl")
        for kind, caller, _account, position, count in map(
            json.loads, path.read_text().splitlines()
        )
    }
    assert acknowledged == await logged(database)
    assert between > 0, "no kill fell between an append and its reply: nothing was proven"
    assert len(acknowledged) > KILLS * CALLERS
