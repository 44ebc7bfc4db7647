"""The ledger was away for longer than a hold and its grace: what is owed is booked all the same."""

import asyncio
from decimal import Decimal

import pytest

from tests.support.deciding import correct
from tests.support.gateway import script
from tests.support.installation import DOLLAR, charge_of
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("RSV-4", "RSV-6")

BRIEF_HOLD = {
    "FAREBOX_REQUEST_MAX_S": "2",
    "FAREBOX_DRAIN_MAX_S": "0.5",
    "FAREBOX_HOLD_SPARE_S": "0.5",
}
ENV = {
    "ledger": {
        "FAREBOX_EXPIRY_GRACE_S": "0.2",
        "FAREBOX_EXPIRY_TICK_S": "0.1",
        "FAREBOX_TAKEOVER_QUIET_S": "0.1",
    },
    "gateway": BRIEF_HOLD,
}
LEFT = 1000


async def test_settle_after_outage_longer_than_the_hold(farebox, provider):
    """Once, late, flagged, and never more than is there: what is missing is the operator's loss."""
    await farebox.start("gateway")
    rich, poor = await farebox.customer(DOLLAR), await farebox.customer(DOLLAR)
    script(provider, hold=True, times=2)
    requests = [asyncio.create_task(farebox.chat("gateway", who)) for who in (rich, poor)]
    await until(lambda: _called(provider, 2))
    await farebox.kill("ledger")
    provider.record.release()
    assert [answer.status_code for answer in await asyncio.gather(*requests)] == [200, 200]
    assert farebox.metric("gateway", "journal_depth") == 2
    await farebox.kill("gateway")  # so that the journal cannot be replayed before the expiry

    await farebox.start("ledger")
    for who in (rich, poor):
        assert await farebox.settled(who) == DOLLAR  # the hold has expired, all went back
        assert (await farebox.kinds(who.account))[-1] == "ReservationExpired"
    await farebox.order(correct(poor.account, DOLLAR - LEFT))

    await farebox.start("gateway-2")
    await until(lambda: _worked_off(farebox))
    owed = [charge_of(call.usage) for call in provider.record.calls]
    assert owed[0] == owed[1] > LEFT
    assert await farebox.balance(rich) == (DOLLAR - owed[0], 0)
    assert await farebox.balance(poor) == (0, 0)
    assert await _charge(farebox, rich) == (owed[0], 0, None)
    assert await _charge(farebox, poor) == (LEFT, owed[0] - LEFT, "late")
    await _receipt_tells_of_it(farebox, rich, owed[0])


async def _called(provider, times):
    return len(provider.record.calls) == times


async def _worked_off(farebox):
    return farebox.metric("gateway-2", "journal_depth") == 0


async def _charge(farebox, customer):
    """The one charge of the account: what was taken from what is available, and what was lost."""
    [charged] = await farebox.events(customer.account, "CreditsCharged")
    data = charged["data"]
    assert data["reserved_was"] == "0"
    assert data["extra"] == data["charge"]
    return int(data["charge"]), int(data["loss"]), data["loss_kind"]


async def _receipt_tells_of_it(farebox, customer, charge):
    [charged] = await farebox.events(customer.account, "CreditsCharged")

    async def told():
        path = f"/requests/{charged['data']['res']}"
        receipt = await farebox.billing("gateway-2", customer, path)
        return receipt if receipt["state"] == "settled" else None

    receipt = await until(told)
    assert int(Decimal(receipt["charge"]) * DOLLAR) == charge
