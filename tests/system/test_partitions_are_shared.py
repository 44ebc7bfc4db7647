"""Three partitions on two ledger processes: each leads some, and whoever is left leads all."""

import asyncio
import random
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.events.ids import partition_of
from tests.support.database import PARTITIONS, Database
from tests.support.holding import Caller, Load, acknowledged, logged, rich
from tests.support.installation import assert_books_are_right
from tests.support.process import Process
from tests.support.services import example_config, ledger_client
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("OPS-2")

SEED = 20261129
ALL = set(range(PARTITIONS))
PATIENT_S = 20.0


class Cluster:
    """Ledger processes by the partitions they prefer, a reader, and clients of both classes."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.config = example_config(folder)
        self.processes: list[Process] = []
        self.accounts: list[tuple[str, str]] = []
        self.admin: Any = None
        self.use: Any = None

    def add(self, name: str, leads: str = "") -> Process:
        env = {"FAREBOX_LEDGER_LEADS": leads}
        made = Process(name, self.database, self.folder, config=self.config, env=env)
        self.processes.append(made)
        return made

    async def load(self) -> Load:
        """Two callers on an account of each partition."""
        self.accounts = [await rich(self.admin, p) for p in range(PARTITIONS)]
        assert {partition_of(account, PARTITIONS) for account, _ in self.accounts} == ALL
        callers = [
            Caller(self.use, *account, self.folder / f"acknowledged-{p}-{n}.jsonl")
            for p, account in enumerate(self.accounts)
            for n in range(2)
        ]
        return Load(callers, random.Random(SEED))

    async def assert_nothing_is_lost(self) -> None:
        told = acknowledged(self.folder)
        assert told == await logged(self.database, [account for account, _ in self.accounts])
        assert len(told) > 0
        await assert_books_are_right(self.database)


@asynccontextmanager
async def cluster(database: Database, folder: Path) -> AsyncIterator[Cluster]:
    made = Cluster(database, folder)
    try:
        made.add("reader").start(ready=False)
        async with (
            ledger_client(database, "admin", "admin") as made.admin,
            ledger_client(database, "gateway", "use") as made.use,
        ):
            await made.admin.check_installation()
            await made.use.check_installation()
            yield made
    finally:
        for process in reversed(made.processes):
            process.stop()


def led_by(process: Process) -> set[int]:
    """The partitions a process says it leads."""
    text = httpx.get(process.url("health", "/metrics"), timeout=5).text
    return {
        int(number)
        for number in re.findall(
            r'^farebox_ledger_leading\{partition="(\d+)"\} 1$', text, re.MULTILINE
        )
    }


async def leads(process: Process, partitions: set[int]) -> None:
    async def so() -> bool:
        return led_by(process) == partitions

    await until(so, PATIENT_S)


async def test_killed_under_load_its_partitions_go_on_and_come_back(database, streams, tmp_path):
    async with cluster(database, tmp_path) as made:
        even, odd = made.add("ledger-1", "0,2"), made.add("ledger-2", "1")
        even.start()
        odd.start()
        await leads(even, {0, 2})
        await leads(odd, {1})
        load = await made.load()
        await load.goes_on()
        even.kill()
        await load.goes_on()
        assert led_by(odd) == ALL
        even.wait()
        even.start()
        await leads(even, {0, 2})
        assert led_by(odd) == {1}
        await load.goes_on()
        await load.end()
        await made.assert_nothing_is_lost()


async def test_one_partition_moves_while_the_others_stay_where_they_are(
    database, streams, tmp_path
):
    async with cluster(database, tmp_path) as made:
        whole = made.add("ledger-1").start()
        assert led_by(whole) == ALL
        load = await made.load()
        await load.goes_on()
        mover = made.add("ledger-2", "1").start()
        await leads(mover, {1})
        assert led_by(whole) == {0, 2}
        await load.goes_on()
        mover.kill(signal.SIGTERM)
        assert await asyncio.to_thread(mover.wait) == 0
        await leads(whole, ALL)
        await load.goes_on()
        await load.end()
        await made.assert_nothing_is_lost()


async def test_a_partition_that_is_not_there_is_refused_by_name(database, streams, tmp_path):
    async with cluster(database, tmp_path) as made:
        wrong = made.add("ledger-1", "1,3").start(ready=False)
        assert await asyncio.to_thread(wrong.wait) == 1
        assert "FAREBOX_LEDGER_LEADS names partition 3; there are 0 to 2" in wrong.text()
