"""A standby ends a leader that is silent, not one that it could not hear itself."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import nats.errors
import pytest

from libs.runtime.clock import ManualClock
from services.ledger.settings import LedgerSettings
from services.ledger.standby import Standby

pytestmark = pytest.mark.requirement("OPS-2")

SETTINGS = LedgerSettings()
POLL_S, PATIENCE_S = SETTINGS.standby_poll_s, SETTINGS.standby_ping_s


class Place:
    """The lock is another's. `passing` is how long each ping takes, in turn; none is answered."""

    is_connected = True
    partition = 0

    def __init__(self, *passing: float) -> None:
        self.clock = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
        self.passing = list(passing)
        self.stopping = asyncio.Event()
        self.ended = 0

    async def try_lock(self) -> bool:
        return False

    async def end_holder(self) -> int:
        self.ended += 1
        return 1

    async def request(self, *_: Any, timeout: float) -> None:  # noqa: ASYNC109
        assert timeout == POLL_S
        self.clock.advance(self.passing.pop(0))
        if not self.passing:
            self.stopping.set()
        raise nats.errors.TimeoutError

    async def watched(self) -> int:
        """How often the leader was ended."""
        standby = Standby(0, cast("Any", self), cast("Any", self), self.clock, SETTINGS)
        assert not await standby.wait(self.stopping)
        return self.ended


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between pings pass at once: their time is that of the pings here."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _: sleep(0))


async def test_one_that_is_silent_for_longer_than_the_patience_is_ended():
    enough = int(PATIENCE_S / POLL_S)
    assert await Place(*[POLL_S] * (enough - 1)).watched() == 0
    assert await Place(*[POLL_S] * enough).watched() == 1


@pytest.mark.parametrize("slept", [PATIENCE_S + POLL_S, 3600.0])
async def test_a_standby_that_was_stopped_while_it_listened_asks_again(slept: float):
    """Its own time-out is what it finds first when it wakes; the answer lies behind it."""
    assert await Place(slept).watched() == 0
    assert await Place(POLL_S, POLL_S, slept, POLL_S).watched() == 0


async def test_several_stops_shorter_than_the_patience_are_no_silence_either():
    assert await Place(*[PATIENCE_S / 2] * 5).watched() == 0
