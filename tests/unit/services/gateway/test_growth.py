"""No text is relayed that what is held could not pay for at one token a byte."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.ids import new_id
from libs.runtime.errors import LedgerUnavailable
from services.gateway.estimate import text_bound
from services.gateway.growth import Growth, wide_cap
from services.gateway.hold import Hold
from services.gateway.orders import Order
from services.gateway.surfaces.chat_meter import ChatMeter
from services.gateway.tally import Tally
from services.gateway.unheld import Unheld
from tests.unit.services.gateway.offering import offer

pytestmark = pytest.mark.requirement("RSV-5")

SLICE = 100
OFFER = offer(default_cap=SLICE, max_output=2_000)
BOUND = text_bound(OFFER, size=100, tools=False, asked=None, choices=1)
ORDER = Order(new_id("req"), new_id("acct"), new_id("key"), "USD", "m", "s", "release", "t")
TOKEN = 2_200


@dataclass
class Account:
    """An account that answers extensions from what it has, or does not answer."""

    available: int
    away: bool = False
    asked: list[int] = field(default_factory=list)

    async def extend(self, hold: Hold, total: int, used: int) -> bool:
        assert used >= 0
        self.asked.append(total)
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("away")
        added = total - hold.amount
        if added > self.available:
            hold.available = self.available
            return False
        self.available -= added
        hold.amount, hold.available = total, self.available
        return True


def stream(account: Account, percent: int = 25) -> tuple[Hold, Tally, Growth, Unheld]:
    hold, unheld = Hold(ORDER, account, BOUND.amount, account.available), Unheld(percent)
    tally = Tally(OFFER, BOUND, BOUND.cap)
    return hold, tally, Growth(hold, tally, wide_cap(OFFER, BOUND, hold, unheld), unheld), unheld


async def deliver(growth: Growth, pieces: list[int]) -> tuple[int, bool]:
    """What was relayed, and whether it went on to the end."""
    meter, candidate = ChatMeter(choices=1, strip_usage=True), OFFER.candidates[0]
    for size in pieces:
        before, meter.delivered = meter.delivered, meter.delivered + size
        if meter.delivered >= growth.alarm and not await growth.covers(meter, candidate, 100):
            return before, False
        await asyncio.sleep(0)
    return meter.delivered, True


@given(
    st.integers(0, 3_000),
    st.lists(st.integers(1, 300), max_size=40),
    st.lists(st.integers(0, 39), max_size=2),
)
def test_what_is_relayed_is_paid_for(available: int, pieces: list[int], away: list[int]):
    async def story() -> None:
        account = Account(available * TOKEN)
        hold, tally, growth, unheld = stream(account)
        relayed = 0
        most = hold.most
        for index, size in enumerate(pieces):
            account.away = index in away
            part, on = await deliver_more(growth, relayed, size)
            relayed = part
            paid = OFFER.most(BOUND.input_tokens, relayed)
            assert paid <= hold.amount or hold.amount == most
            assert hold.amount >= OFFER.most(BOUND.input_tokens, tally.cap)
            if not on:
                break
        growth.close()
        assert hold.most == most
        assert not unheld._of
        assert account.available >= 0

    asyncio.run(story())


async def deliver_more(growth: Growth, before: int, size: int) -> tuple[int, bool]:
    meter = ChatMeter(choices=1, strip_usage=True)
    meter.delivered = before + size
    if meter.delivered >= growth.alarm:
        if not await growth.covers(meter, OFFER.candidates[0], 100):
            return before, False
        await asyncio.sleep(0)
    return meter.delivered, True


async def test_more_is_asked_for_ahead_of_need_and_once_at_a_time():
    account = Account(10**9)
    hold, _, growth, _ = stream(account)
    assert growth.alarm == SLICE - SLICE // 4 + 1
    relayed, on = await deliver(growth, [1] * (SLICE - 1))
    assert (relayed, on) == (SLICE - 1, True)
    assert len(account.asked) == 1
    assert hold.amount == OFFER.most(BOUND.input_tokens, 2 * SLICE)
    growth.close()


async def test_once_the_providers_own_cap_is_held_for_nothing_more_is_asked():
    account = Account(10**9)
    hold, _, growth, _ = stream(account)
    relayed, on = await deliver(growth, [500] * 20)
    assert (relayed, on) == (10_000, True)  # an odd provider: its cap was 2,000 tokens
    assert hold.amount == hold.most == OFFER.most(BOUND.input_tokens, 2_000)
    asked = len(account.asked)
    await deliver(growth, [10**6])
    assert len(account.asked) == asked
    growth.close()


@pytest.mark.parametrize("percent", [0, 25, 100])
def test_the_cap_sent_never_runs_ahead_by_more_than_its_share(percent: int):
    for tokens in (0, 1, 399, 400, 401, 10_000):
        account = Account(tokens * TOKEN)
        hold = Hold(ORDER, account, BOUND.amount, account.available)
        cap = wide_cap(OFFER, BOUND, hold, Unheld(percent))
        assert cap == min(2_000, SLICE + tokens * percent // 100)


def test_a_hold_that_is_limited_already_does_not_grow():
    smaller = Hold(ORDER, Account(10**9), BOUND.amount - 10 * TOKEN, 10**9)
    assert wide_cap(OFFER, BOUND, smaller, Unheld(25)) == SLICE - 10


@pytest.mark.requirement("PRC-2")
@given(st.integers(0, 10_000_000))
def test_a_wider_cap_still_covers_the_output_that_no_cap_holds_back(available: int):
    bound = text_bound(OFFER, size=100, tools=False, asked=None, choices=1, beside=900)
    hold = Hold(ORDER, Account(available), bound.amount, available)
    cap = wide_cap(OFFER, bound, hold, Unheld(100))
    assert OFFER.most(bound.input_tokens, cap + bound.beside) <= hold.amount + available
