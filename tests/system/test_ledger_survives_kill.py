"""kill -9 of the ledger under load: what was acknowledged is in the log, and nothing else is."""

import itertools
import random
from pathlib import Path

import pytest

from tests.support.database import PARTITIONS, Database
from tests.support.holding import Caller, Load, acknowledged, logged, rich
from tests.support.process import Process
from tests.support.services import example_config, ledger_client
from tests.support.waiting import until

SEED = 20261120
KILLS = 12
CALLERS = 12
AFTER_APPEND = {"FAREBOX_FAULTS": "1", "FAREBOX_FAULT_POINT": "after_append:7"}


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


@pytest.mark.requirement("RSV-3", "CRD-5", "AUD-1")
async def test_acknowledged_replies_equal_the_log_after_a_dozen_kills(database, streams, tmp_path):
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
