import asyncio

import pytest
from nats.errors import Error

from libs.runtime.errors import ConnectionLost, PermissionDenied
from libs.runtime.permission_watch import PermissionWatch


def violation(action, subject):
    return Error(f'nats: permissions violation for {action} to "{subject}"')


async def waiting(watch, subject):
    async with watch.guard(subject):
        await asyncio.Event().wait()


async def start(watch, *subjects):
    tasks = [asyncio.create_task(waiting(watch, subject)) for subject in subjects]
    await asyncio.sleep(0)
    return tasks


async def cancel(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_only_requests_to_the_refused_subject_are_woken():
    watch = PermissionWatch()
    refused, also, other = await start(watch, "A.b", "A.b", "A.c")
    watch.see(violation("publish", "a.b"))
    for task in (refused, also):
        with pytest.raises(PermissionDenied) as caught:
            await task
        assert (caught.value.action, caught.value.subject) == ("publish", "a.b")
    assert not other.done()
    await cancel(other)


async def test_a_refused_inbox_wakes_every_request():
    watch = PermissionWatch()
    tasks = await start(watch, "a", "b")
    watch.see(violation("subscription", "inbox.gateway.x.*"))
    for task in tasks:
        with pytest.raises(PermissionDenied):
            await task


async def test_another_refused_subscription_wakes_nobody_but_is_a_problem():
    watch = PermissionWatch()
    (task,) = await start(watch, "a")
    watch.see(violation("subscription", "ledger.commands.>"))
    await asyncio.sleep(0)
    assert not task.done()
    assert watch.problem() == "NATS refuses subscription to ledger.commands.>"
    await cancel(task)


async def test_other_errors_are_not_refusals():
    watch = PermissionWatch()
    assert watch.see(Error("nats: unexpected EOF")) is None
    assert watch.problem() is None


async def test_a_lost_connection_wakes_every_request():
    watch = PermissionWatch()
    tasks = await start(watch, "a", "b")
    watch.connection_lost()
    for task in tasks:
        with pytest.raises(ConnectionLost):
            await task


async def test_a_new_connection_starts_without_refusals():
    watch = PermissionWatch()
    watch.see(violation("publish", "a"))
    watch.connection_made()
    assert watch.problem() is None


async def test_a_finished_request_is_no_longer_woken():
    watch = PermissionWatch()
    async with watch.guard("a"):
        pass
    watch.see(violation("publish", "a"))
    await asyncio.sleep(0)


async def test_a_cancelled_caller_stays_cancelled_even_when_refused_in_the_same_turn():
    watch = PermissionWatch()
    (task,) = await start(watch, "a")
    watch.see(violation("publish", "a"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_refusal_that_meets_its_reply_leaves_the_task_uncancelled():
    watch = PermissionWatch()

    async def answered():
        async with watch.guard("a"):
            watch.see(violation("publish", "a"))
            reply = "reply"
        await asyncio.sleep(0)
        return reply

    task = asyncio.create_task(answered())
    assert await task == "reply"
    assert task.cancelling() == 0


async def test_ever_new_refusals_do_not_fill_the_memory_and_still_wake():
    watch = PermissionWatch()
    for number in range(1000):
        watch.see(violation("publish", f"x.{number}"))
    assert len(watch.violations) == 100
    (task,) = await start(watch, "a")
    watch.see(violation("publish", "a"))
    with pytest.raises(PermissionDenied):
        await task
