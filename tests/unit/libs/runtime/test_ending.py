import asyncio
import contextlib

import pytest

from libs.runtime import ending
from libs.runtime.ending import beside, end


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(ending, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(ending, "LONGEST_PAUSE_S", 0.001)


async def asking(answered):
    """As a relay between its requests: the answer comes while nobody looks."""
    while True:
        answer = asyncio.get_running_loop().create_future()
        answered.append(answer)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answer, 60)


async def test_a_cancellation_that_meets_an_answer_is_repeated_until_heard():
    answered = []
    task = asyncio.create_task(asking(answered))
    await asyncio.sleep(0)
    answered[-1].set_result(None)
    async with asyncio.timeout(5):
        assert not await end(task)
    assert task.cancelled()


async def test_a_cancellation_that_its_clean_up_loses_is_repeated():
    lost = []

    async def work():
        while True:
            with contextlib.suppress(ConnectionError):
                try:
                    await asyncio.Event().wait()
                finally:
                    if not lost:
                        lost.append(True)
                        raise ConnectionError

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task)
    assert lost
    assert task.cancelled()


async def test_each_is_told_until_the_last_has_heard():
    async def deaf(times):
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not times:
                    raise
                times -= 1

    tasks = [asyncio.create_task(deaf(times)) for times in range(3)]
    await asyncio.sleep(0)
    assert not await end(*tasks)
    assert all(task.cancelled() for task in tasks)


async def test_one_that_resists_is_named():
    may_end = []

    async def work():
        while not may_end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert set(await end(task, within_s=0.01)) == {task}
    may_end.append(True)
    await end(task)


async def test_what_ended_by_itself_keeps_its_result_and_its_failure():
    async def fail():
        raise ValueError

    done, failed = asyncio.create_task(asyncio.sleep(0, 7)), asyncio.create_task(fail())
    await asyncio.wait([done, failed])
    assert not await end(done, failed)
    assert done.result() == 7
    assert isinstance(failed.exception(), ValueError)


async def test_work_beside_a_block_ends_with_it_also_when_the_block_fails():
    tasks = []

    async def block():
        async with beside(asyncio.Event().wait()) as task:
            tasks.append(task)
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    assert tasks[0].cancelled()
