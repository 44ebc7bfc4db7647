"""A leader that reads a large log at its start is not taken for one that hangs (OPS-2)."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.ledger import app, standby
from services.ledger.settings import LedgerSettings
from services.ledger.store import Store
from tests.support.database import PARTITIONS
from tests.support.services import example_config, running
from tests.support.settings import settings_for
from tests.support.waiting import until

PATIENCE_S = 0.3


@pytest.mark.requirement("OPS-2")
async def test_a_leader_that_takes_longer_to_start_than_a_standby_waits_is_left_alone(
    database, streams, tmp_path, monkeypatch
):
    reading, may_go_on = asyncio.Event(), asyncio.Event()
    read, asked = Store.open_reservations, Store.end_holder
    ended = []

    async def slowly(store):
        reading.set()
        await may_go_on.wait()
        return await read(store)

    async def end_holder(store):
        ended.append(store.partition)
        return await asked(store)

    monkeypatch.setattr(Store, "open_reservations", slowly)
    monkeypatch.setattr(Store, "end_holder", end_holder)
    pings = _counted(monkeypatch)
    common = {
        "data_dir": tmp_path, "config": example_config(tmp_path), "standby_ping_s": PATIENCE_S,
        "standby_poll_s": 0.05,
    }  # fmt: skip
    names = ("ledger", "ledger-2")
    settings = [
        settings_for(LedgerSettings, "ledger", database, process_name=name, **common)
        for name in names
    ]
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(running(app.serve, settings[0])))
        await reading.wait()
        await stack.enter_async_context(running(app.serve, settings[1]))

        async def asked_for_longer_than_it_waits():
            return min(pings[p] for p in range(PARTITIONS)) > 2 * PATIENCE_S / 0.05

        await until(asked_for_longer_than_it_waits)
        may_go_on.set()
        leader = await starting
        assert ended == []
        assert not leader.stopping.is_set()


def _counted(monkeypatch):
    """How often each partition's leader was pinged and answered."""
    counts = dict.fromkeys(range(PARTITIONS), 0)
    answers = standby.Standby._answers

    async def counted(self):
        answered = await answers(self)
        counts[self._partition] += 1
        return answered

    monkeypatch.setattr(standby.Standby, "_answers", counted)
    return counts
