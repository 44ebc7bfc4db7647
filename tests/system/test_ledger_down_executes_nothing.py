"""Billing offline: execution is denied, nothing is consumed, nothing is written (RSV-8)."""

import asyncio
import signal

import pytest

from tests.support.installation import CREDIT, DOLLAR, charge_of
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("RSV-8")


@pytest.fixture(scope="module")
async def gateways(farebox):
    await farebox.start("gateway-1", "gateway-2")


async def kill(farebox):
    await farebox.kill("ledger")


async def start(farebox):
    await farebox.start("ledger")


async def freeze(farebox):
    farebox.process("ledger").kill(signal.SIGSTOP)


async def thaw(farebox):
    farebox.process("ledger").kill(signal.SIGCONT)


async def cut(farebox):
    farebox.database.stack.nats.kill()


async def mend(farebox):
    farebox.database.stack.nats.start()


@pytest.mark.parametrize(("away", "back"), [(kill, start), (freeze, thaw), (cut, mend)])
async def test_all_is_refused_while_the_ledger_is_away_and_served_when_it_is_back(
    farebox, gateways, provider, nats, away, back
):
    dollars = await farebox.customer(DOLLAR)
    credits_ = await farebox.customer(CREDIT, unit="CREDIT", plan="studio")
    first = await farebox.chat("gateway-1", dollars)  # its key is known to gateway-1
    left = DOLLAR - charge_of(first.json()["usage"])
    written = [await farebox.kinds(who.account) for who in (dollars, credits_)]
    provider.record.reset()

    await away(farebox)
    answers = await asyncio.gather(
        farebox.chat("gateway-1", dollars),
        farebox.chat("gateway-1", dollars, stream=True),
        farebox.chat("gateway-2", dollars),
        farebox.score("gateway-1", credits_),
    )
    assert [answer.status_code for answer in answers] == [503] * 4
    for answer in answers:
        assert answer.json()["error"]["code"] == "ledger_unavailable"
        assert int(answer.headers["retry-after"]) > 0
    assert provider.record.calls == []
    assert [await farebox.kinds(who.account) for who in (dollars, credits_)] == written

    await back(farebox)

    async def served():
        return (await farebox.score("gateway-1", credits_)).status_code == 200

    await until(served, patience_s=20)
    assert await farebox.balance(credits_) == (0, 0)
    # What was sent to a ledger that only slept is undone: nobody pays for what was refused.
    assert await farebox.settled(dollars) == left
    assert provider.record.summary()["count"] == 1
    for worker in ("gateway-1", "gateway-2"):
        await until(lambda worker=worker: forgotten(farebox, worker), patience_s=20)


async def forgotten(farebox, gateway):
    """Whether the gateway's journal has nothing left to undo."""
    return farebox.metric(gateway, "journal_depth") == 0
