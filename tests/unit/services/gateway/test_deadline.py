"""An upstream is waited for while it makes progress, and never beyond the latest moment."""

import asyncio
from collections.abc import Callable

import pytest

from services.gateway.deadline import Deadline
from tests.seeded.virtual_loop import VirtualLoop, run_virtually

pytestmark = pytest.mark.requirement("RSV-2")

Step = Callable[[Deadline], None]


async def one_try(deadline: Deadline, steps: list[tuple[float, Step]]) -> None:
    """Tell a deadline these things at these moments, and wait for ever."""
    loop = asyncio.get_running_loop()
    async with deadline:
        for at, step in steps:
            await asyncio.sleep(at - loop.time())
            step(deadline)
        await asyncio.Event().wait()


def within(seconds: float) -> Step:
    return lambda deadline: deadline.within(seconds)


def latest_in(seconds: float) -> Step:
    return lambda deadline: deadline.latest_in(seconds)


@pytest.mark.parametrize(
    ("steps", "at"),
    [
        ([], 100),
        ([(0, within(10))], 10),
        ([(0, within(10)), (9, within(10))], 19),
        ([(0, within(10)), (5, within(1))], 6),
        ([(n * 9, within(10)) for n in range(12)], 100),
        ([(0, within(10)), (5, Deadline.pause)], 100),
        ([(0, within(10)), (5, Deadline.pause), (50, within(10))], 60),
        ([(0, within(10)), (5, latest_in(20)), (6, Deadline.pause)], 25),
        ([(0, Deadline.pause), (5, latest_in(0))], 5),
        ([(5, latest_in(500))], 100),
    ],
)
def test_it_passes_when_the_upstream_is_silent_and_at_the_latest_moment(
    steps: list[tuple[float, Step]], at: float
):
    async def when() -> float:
        with pytest.raises(TimeoutError):
            await one_try(Deadline(100), steps)
        return asyncio.get_running_loop().time()

    assert run_virtually(when(), VirtualLoop()) == at


def test_the_latest_moment_is_that_of_all_tries_together():
    async def tries() -> tuple[float, bool]:
        deadline = Deadline(100)
        for began in (0, 30):
            with pytest.raises(TimeoutError):
                await one_try(deadline, [(began, within(30))])
        assert not deadline.over
        with pytest.raises(TimeoutError):
            await one_try(deadline, [])
        return asyncio.get_running_loop().time(), deadline.over

    assert run_virtually(tries(), VirtualLoop()) == (100, True)
