"""What cannot be told again, or may have been charged, is not run a second time either."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from libs.events.money import decimal_text
from libs.runtime.errors import LedgerUnavailable, QueryFailed
from simulators.provider.app import RunningProvider
from tests.support.gateway import running_gateway, script, until
from tests.support.repeats import Pair, ask, code, customer

pytestmark = pytest.mark.requirement("RSV-3", "RSV-6")


async def test_a_stream_that_is_done_is_told_but_not_again(pair: Pair, provider: RunningProvider):
    key = customer(pair[0])
    first = await ask(pair[0], key, stream=True)
    assert first.content.endswith(b"data: [DONE]\n\n")
    [charged] = pair[0].ledger.events("CreditsCharged")
    for worker in pair:
        refused = await ask(worker, key, stream=True)
        assert code(refused) == (409, "idempotency_not_replayable")
        details = refused.json()["error"]["details"]
        assert details["request_id"] == first.headers["x-request-id"] == charged["res"]
        assert details["status"] == 200
        assert details["charged"] == decimal_text(int(charged["charge"]), "USD")
    assert len(provider.record.calls) == 1


async def test_a_stream_broken_off_before_its_first_byte_is_no_empty_answer(
    pair: Pair, provider: RunningProvider, tmp_path: Path
):
    """Its client left, and what was sent upstream was charged: there is nothing to tell again."""
    catalogue, ledger = pair[0].worker.gateway.catalogue, pair[0].ledger
    key = customer(pair[0])
    script(provider, hold=True)
    async with running_gateway(tmp_path, catalogue, ledger, drains_max=0) as gateway:
        asking = asyncio.create_task(ask(gateway, key, stream=True))
        await until(lambda: provider.record.calls)
        asking.cancel()
        await until(lambda: ledger.events("CreditsCharged"))
        await until(lambda: not gateway.worker.pumps.exchanges())
        for worker in (gateway, pair[1]):
            refused = await ask(worker, key, stream=True)
            assert code(refused) == (409, "idempotency_not_replayable")
    assert len(provider.record.calls) == 1


@pytest.mark.requirement("RSV-4")
async def test_a_hold_that_expired_is_told_and_never_run_again(
    pair: Pair, provider: RunningProvider
):
    """Its gateway was lost, and its settlement may still come: what became of it is not known."""
    key = customer(pair[0])
    first = await ask(pair[0], key)
    [reserved] = pair[0].ledger.events("CreditsReserved")
    facts = {name: reserved[name] for name in ("key_id", "tags")}
    facts |= {"state": "expired", "status": None, "charge": "0"}
    pair[0].ledger.told["request"] = facts
    refused = await ask(pair[1], key)
    assert code(refused) == (409, "idempotency_not_replayable")
    details = refused.json()["error"]["details"]
    assert (details["state"], details["charged"]) == ("expired", "0.00")
    assert details["request_id"] == first.headers["x-request-id"]
    assert len(provider.record.calls) == 1


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (QueryFailed("unavailable", "receipts are behind"), 409, "idempotency_in_progress"),
        (QueryFailed("unknown_request", "not there yet"), 409, "idempotency_in_progress"),
        (QueryFailed("malformed", "a fault"), 503, "ledger_unavailable"),
        (LedgerUnavailable("no reader"), 503, "ledger_unavailable"),
    ],
)
async def test_nothing_is_run_while_it_is_not_known_what_became_of_the_first(
    pair: Pair, provider: RunningProvider, monkeypatch: pytest.MonkeyPatch,
    error: Exception, status: int, told: str,
):  # fmt: skip
    one, other = pair
    key = customer(one)
    await ask(one, key)
    query = one.ledger.query

    async def no_receipt(name: str, data: dict[str, Any], **where: Any) -> dict[str, Any]:
        if name == "request":
            raise error
        return await query(name, data, **where)

    monkeypatch.setattr(one.ledger, "query", no_receipt)
    assert code(await ask(other, key)) == (status, told)
    assert len(provider.record.calls) == 1
