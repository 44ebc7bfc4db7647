"""What was used is charged exactly once and what was not is given back, whoever dies meanwhile."""

import asyncio
import signal
import socket

import httpx
import pytest

from tests.support.gateway import script
from tests.support.installation import CREDIT, DOLLAR, charge_of
from tests.support.waiting import until, wait_until

ENV = {
    "ledger": {
        "FAREBOX_EXPIRY_GRACE_S": "0.2",
        "FAREBOX_EXPIRY_TICK_S": "0.1",
        "FAREBOX_TAKEOVER_QUIET_S": "0.1",
    }
}
BRIEF_HOLD = {
    "FAREBOX_REQUEST_MAX_S": "2",
    "FAREBOX_DRAIN_MAX_S": "0.5",
    "FAREBOX_HOLD_SPARE_S": "0.5",
}


@pytest.fixture
async def gateway(farebox, provider):
    """A gateway of the test's own, with nothing in its journal."""
    await farebox.start("gateway")
    yield "gateway"
    for name in ("gateway", "gateway-2"):
        if name in farebox.processes:
            await asyncio.to_thread(farebox.process(name).stop)


def listening(process):
    try:
        socket.create_connection(("127.0.0.1", process.port("http")), timeout=1).close()
    except (OSError, LookupError):
        return False
    return True


async def called(provider, times):
    async def so_often():
        return len(provider.record.calls) == times

    await until(so_often)


@pytest.mark.requirement("RSV-6")
async def test_a_settlement_made_while_nats_is_down_survives_the_gateways_kill(
    farebox, gateway, provider, nats
):
    dollars = await farebox.customer(DOLLAR)
    credits_ = await farebox.customer(3 * CREDIT, unit="CREDIT", plan="studio")
    script(provider, hold=True, times=3)
    requests = [
        asyncio.create_task(call)
        for call in (
            farebox.chat(gateway, dollars),
            farebox.chat(gateway, dollars, stream=True),
            farebox.score(gateway, credits_),
        )
    ]
    await called(provider, 3)
    nats.kill()
    provider.record.release()
    whole, stream, score = await asyncio.gather(*requests)
    # Every client has its whole answer, and what it owes is on disk.
    assert [answer.status_code for answer in (whole, stream, score)] == [200] * 3
    assert stream.text.endswith("data: [DONE]\n\n")
    assert "farebox-charged" not in whole.headers
    assert farebox.metric(gateway, "journal_depth") == 3
    await farebox.kill(gateway)

    nats.start()
    await farebox.start("gateway-2")
    used = sum(charge_of(call.usage) for call in provider.record.calls if call.usage)
    assert await farebox.settled(dollars) == DOLLAR - used
    assert await farebox.settled(credits_) == 2 * CREDIT
    assert len(await farebox.events(dollars.account, "CreditsCharged")) == 2
    assert len(await farebox.events(credits_.account, "CreditsCharged")) == 1

    async def worked_off():
        return farebox.metric("gateway-2", "journal_depth") == 0

    await until(worked_off)


@pytest.mark.requirement("RSV-4", "RSV-6")
async def test_what_a_killed_gateway_held_is_given_back_at_its_deadline(farebox, provider):
    """It dies between the provider's answer and the settlement: nobody is billed for our crash."""
    await farebox.start(
        "gateway", **BRIEF_HOLD, FAREBOX_FAULTS="1", FAREBOX_FAULT_POINT="before_settle"
    )
    customer = await farebox.customer(DOLLAR)
    with pytest.raises(httpx.TransportError):
        await farebox.chat("gateway", customer)
    assert await asyncio.to_thread(farebox.process("gateway").wait) == -signal.SIGKILL
    assert [call.outcome for call in provider.record.calls] == ["complete"]
    [held] = await farebox.events(customer.account, "CreditsReserved")
    assert sum(await farebox.balance(customer)) == DOLLAR

    await farebox.start("gateway-2")
    assert await farebox.settled(customer) == DOLLAR
    closing = (await farebox.events(customer.account))[-1]
    assert (closing["type"], closing["data"]["res"]) == ("ReservationExpired", held["data"]["res"])
    assert closing["occurred_at"] > held["data"]["expires_at"]
    receipt = await farebox.billing("gateway-2", customer, f"/requests/{held['data']['res']}")
    assert (receipt["state"], receipt["charge"]) == ("expired", "0.00")
    lines = (await farebox.billing("gateway-2", customer, "/entries"))["entries"]
    assert [line["type"] for line in lines] == ["adjustment", "reservation", "release"]
    assert (await farebox.chat("gateway-2", customer)).status_code == 200
    await asyncio.to_thread(farebox.process("gateway-2").stop)


async def test_a_gateway_asked_to_stop_finishes_what_it_began(farebox, gateway, provider):
    customer = await farebox.customer(DOLLAR)
    script(provider, hold_after_chunks=5)
    request = asyncio.create_task(farebox.chat(gateway, customer, stream=True))
    await called(provider, 1)
    process = farebox.process(gateway)
    process.kill(signal.SIGTERM)
    await asyncio.to_thread(wait_until, lambda: not listening(process))
    provider.record.release()
    assert (await request).text.endswith("data: [DONE]\n\n")
    assert await asyncio.to_thread(process.wait) == 0
    used = charge_of(provider.record.calls[0].usage)
    assert await farebox.balance(customer) == (DOLLAR - used, 0)
