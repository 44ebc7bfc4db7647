"""A ledger and its reader as processes on a database that a test may exchange for another."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from libs.events.ids import new_id, partition_of
from libs.runtime.command_client import CommandClient
from libs.runtime.database import connect
from libs.runtime.settings import Settings
from services.ledger.verify import verify
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import grant, open_account
from tests.support.process import ROOT, Process
from tests.support.projecting import connection_of
from tests.support.services import example_config, ledger_client
from tests.support.settings import settings_for
from tests.support.waiting import until

PATIENT_S = 20.0
QUICK = {"FAREBOX_RELAY_POLL_S": "0.1"}


class LedgerAt:
    """The two processes, and what is asked of them as operator and auditor."""

    def __init__(self, database: Database, folder: Path, name: str = "ledger") -> None:
        self.database = database
        config = example_config(folder)
        self.ledger = Process(name, database, folder, config=config, env=QUICK)
        self.reader = Process(f"reader-{name}", database, folder, config=config)

    @asynccontextmanager
    async def running(self, *, ready: bool = True) -> AsyncIterator[CommandClient]:
        """Both processes, and a client of class admin; with `ready` once both are."""
        try:
            await asyncio.to_thread(self.ledger.start, ready=ready)
            await asyncio.to_thread(self.reader.start)
            async with ledger_client(self.database, "admin", "admin") as admin:
                await admin.check_installation()
                yield admin
        finally:
            for process in (self.reader, self.ledger):
                await asyncio.to_thread(process.stop)

    async def says(self, words: str) -> None:
        """Wait until the ledger is not ready, and says so with these words."""

        async def told() -> bool:
            return words in await asyncio.to_thread(self._problem)

        await until(told, PATIENT_S)

    def _problem(self) -> str:
        try:
            answer = httpx.get(self.ledger.url("health", "/health/ready"), timeout=2)
        except (httpx.HTTPError, LookupError):
            return ""
        return answer.text if answer.status_code == 503 else ""

    async def becomes_ready(self) -> None:
        await asyncio.to_thread(self.ledger.wait_ready, PATIENT_S)

    def farebox(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `farebox …` as an operator with the auditor's and the provisioner's passwords."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FAREBOX_")}
        env = self.database.env_for("audit") | self.database.env_for("provision")
        return subprocess.run(
            [sys.executable, "-m", "farebox.main", *words],
            cwd=ROOT, env=kept | env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    async def log(self) -> list[tuple[int, bytes]]:
        """Position and bytes of every event of partition 0."""
        async with connection_of(self.database, "auditor") as connection:
            rows = await connection.fetch(
                "select position, body from ledger.events where partition = 0 order by position"
            )
        return [tuple(row) for row in rows]

    async def assert_books_are_right(self) -> None:
        connection = await connect(settings_for(Settings, "audit", self.database))
        try:
            report = await verify(connection, lambda _line: None)
        finally:
            await connection.close()
        assert [str(difference) for difference in report.differences] == []
        assert report.events > 0


async def customer(admin: CommandClient, grants: int = 1) -> str:
    """An account of partition 0 with so many grants of one nano."""
    account = new_id("acct")
    while partition_of(account, PARTITIONS) != 0:
        account = new_id("acct")
    for command in (open_account(account), *(grant(account, 1) for _ in range(grants))):
        reply = await admin.send(command, give_up_s=PATIENT_S)
        assert reply.reply in {"Opened", "Granted"}, reply
    return account


async def stream_is_the_log(at: LedgerAt, js: Any) -> bool:
    """Whether everything the stream holds is what the log holds, up to the log's end."""
    log = await at.log()
    state = (await js.stream_info("LEDGER_0")).state
    if state.last_seq != len(log):
        return False
    copied = range(state.first_seq, state.last_seq + 1)
    return all([(await js.get_msg("LEDGER_0", seq=p)).data == log[p - 1][1] for p in copied])
