"""RCH-2: NATS fires one sweep per interval, whatever the number of processes."""

import asyncio

import pytest

from libs.runtime.ending import beside
from services.recharge import sweep as module
from services.recharge.sweep import SCHEDULE, Sweep
from tests.support.nats import Refusals, connected
from tests.support.waiting import eventually


class Runs(list):
    async def run(self, name):
        self.append(name)
        return {"started": 1}


async def many(runs, count):
    async def enough():
        return len(runs) >= count

    await eventually(enough, what=f"{count} sweeps")


async def scheduled(stack):
    """The schedule as the stream holds it: (sequence, its interval)."""
    async with connected(stack, "provision") as client:
        message = await client.jetstream().get_last_msg("RECHARGE", SCHEDULE)
        return message.seq, message.headers["Nats-Schedule"]


@pytest.mark.requirement("RCH-2")
async def test_two_processes_schedule_one_sweep_and_share_its_runs(streams):
    runs, refusals = Runs(), Refusals()
    async with (
        connected(streams, "recharge", refusals) as one,
        connected(streams, "recharge", refusals) as two,
    ):
        sweeps = [Sweep(nc, runs.run, every_s=1) for nc in (one, two)]
        for sweep in sweeps:
            await sweep.schedule()
        first = await scheduled(streams)
        assert first[1] == "@every 1s"
        async with beside(sweeps[0].follow()), beside(sweeps[1].follow()):
            await many(runs, 3)
        await sweeps[1].schedule()
    assert (await scheduled(streams)) == first, "the phase of a schedule that is there stays"
    assert len(set(runs)) == len(runs), "a run is done once"
    assert all(run.startswith("sweep:2") and run.endswith("Z") for run in runs)
    assert refusals == []


async def test_another_interval_takes_the_place_of_the_old_one(streams):
    runs = Runs()
    async with connected(streams, "recharge") as nc:
        await Sweep(nc, runs.run, every_s=1).schedule()
        async with beside(Sweep(nc, runs.run, every_s=2).follow()):
            await many(runs, 1)

            async def replaced():
                return (await scheduled(streams))[1] == "@every 2s"

            await eventually(replaced, what="the new interval")


@pytest.mark.requirement("RCH-2")
async def test_a_run_that_breaks_is_not_taken_as_done(streams):
    async def broken(_name):
        raise LookupError("broken")

    runs = Runs()
    async with connected(streams, "recharge") as nc:
        sweep = Sweep(nc, broken, every_s=1)
        await sweep.schedule()
        with pytest.raises(LookupError):
            await asyncio.wait_for(sweep.follow(), 10)
        async with beside(Sweep(nc, runs.run, every_s=1).follow()):
            await many(runs, 1)


async def test_status_messages_of_old_fetches_do_not_hold_up_the_end(streams, monkeypatch):
    """The client throws them away without counting them as done, and its drain waits for ever."""
    monkeypatch.setattr(module, "FETCH_S", 0.02)  # most messages come between two fetches
    async with connected(streams, "recharge") as nc, connected(streams, "ledger") as other:

        async def uncounted():
            for sub in nc._subs.values():
                if sub._pending_queue.empty() and sub._pending_queue._unfinished_tasks:
                    return True
                for _ in range(3):
                    await other.publish(sub.subject, headers={"Status": "408"})
            return False

        async with beside(Sweep(nc, Runs().run, every_s=60).follow()):
            await eventually(uncounted, what="a message that is never counted as done")
        ending = asyncio.create_task(nc.drain())
        done, _ = await asyncio.wait({ending}, timeout=3)
        assert done
