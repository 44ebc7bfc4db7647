"""A request that is repeated with its Idempotency-Key is held, run and charged once (RSV-3)."""

import asyncio
from pathlib import Path

import httpx
import pytest

from libs.events.money import decimal_text
from simulators.provider.app import RunningProvider
from tests.support.gateway import DOLLAR, running_gateway, script, until
from tests.support.repeats import HELLO, Pair, ask, code, customer

pytestmark = pytest.mark.requirement("RSV-3", "RSV-6")


def told(answer: httpx.Response) -> dict[str, str]:
    """What a repeat has to say again: all headers but those of the moment."""
    passing = ("date", "server", "x-ratelimit", "idempotent-replayed")
    return {k: v for k, v in answer.headers.items() if not k.startswith(passing)}


async def test_the_answer_is_told_again_byte_for_byte_and_charged_nothing(
    pair: Pair, provider: RunningProvider
):
    gateway, key = pair[0], customer(pair[0])
    first = await ask(gateway, key)
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    again = await ask(gateway, key)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert told(again) == told(first)
    assert first.headers["x-request-id"] == first.headers["farebox-request-id"]
    [reserved] = gateway.ledger.events("CreditsReserved")
    assert reserved["res"] == first.headers["x-request-id"]
    assert len(gateway.ledger.events("CreditsCharged")) == len(provider.record.calls) == 1


async def test_without_the_header_nothing_is_remembered(pair: Pair, provider: RunningProvider):
    gateway, key = pair[0], customer(pair[0])
    for _ in range(2):
        assert (await gateway.chat(key)).status_code == 200
    reserves = [one for one in gateway.ledger.sent if one.kind == "Reserve"]
    assert [one.data.once for one in reserves] == [None, None]
    assert [one.data.tags for one in reserves] == [{}, {}]
    assert len(provider.record.calls) == 2


async def test_a_repeat_while_it_runs_is_told_to_come_again(pair: Pair, provider: RunningProvider):
    gateway, key = pair[0], customer(pair[0])
    script(provider, hold=True)
    running = asyncio.create_task(ask(gateway, key))
    await until(lambda: provider.record.calls)
    for worker in pair:
        refused = await ask(worker, key)
        assert code(refused) == (409, "idempotency_in_progress")
        assert refused.json()["error"]["type"] == "idempotency_error"
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["x-should-retry"] == "true"
    provider.record.release()
    first = await running
    details = refused.json()["error"]["details"]
    assert details == {"request_id": first.headers["x-request-id"]}
    assert (await ask(gateway, key)).content == first.content
    assert len(provider.record.calls) == 1


async def test_a_client_that_timed_out_gets_the_answer_it_has_paid_for(
    pair: Pair, provider: RunningProvider
):
    gateway, key = pair[0], customer(pair[0])
    script(provider, hold=True)
    asking = asyncio.create_task(ask(gateway, key))
    await until(lambda: provider.record.calls)
    asking.cancel()
    await asyncio.wait({asking})
    provider.record.release()
    await until(lambda: not gateway.worker.pumps.exchanges())
    again = await ask(gateway, key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    [charged] = gateway.ledger.events("CreditsCharged")
    assert again.headers["farebox-charged"] == decimal_text(int(charged["charge"]), "USD")
    assert len(provider.record.calls) == 1


async def test_two_at_the_same_instant_at_two_workers_are_one_call(
    pair: Pair, provider: RunningProvider
):
    key = customer(pair[0])
    script(provider, hold=True)
    asking = [asyncio.create_task(ask(pair[n % 2], key)) for n in range(6)]
    await until(lambda: provider.record.calls and sum(one.done() for one in asking) == 5)
    provider.record.release()
    answers = await asyncio.gather(*asking)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert len(provider.record.calls) == len(pair[0].ledger.events("CreditsCharged")) == 1


async def test_after_a_restart_and_at_another_worker_what_was_charged_is_told(
    pair: Pair, provider: RunningProvider, tmp_path: Path
):
    one, other = pair
    key = customer(one)
    first = await ask(one, key)
    async with running_gateway(tmp_path, one.worker.gateway.catalogue, one.ledger) as restarted:
        for worker in (other, restarted):
            refused = await ask(worker, key)
            assert code(refused) == (409, "idempotency_not_replayable")
            assert refused.headers["x-should-retry"] == "false"
            assert refused.json()["error"]["details"] == {
                "request_id": first.headers["x-request-id"],
                "status": 200,
                "state": "settled",
                "charged": first.headers["farebox-charged"],
                "currency": "USD",
            }
            assert code(await ask(worker, key, n=2)) == (422, "idempotency_mismatch")
    assert len(provider.record.calls) == len(one.ledger.events("CreditsReserved")) == 1


@pytest.mark.parametrize("where", [0, 1])
async def test_another_request_under_the_same_key_is_refused_everywhere(
    pair: Pair, provider: RunningProvider, where: int
):
    account = pair[0].ledger.account(DOLLAR)
    key, second = pair[0].ledger.key(account), pair[0].ledger.key(account)
    assert (await ask(pair[0], key)).status_code == 200
    [reserved] = pair[0].ledger.events("CreditsReserved")
    for repeat in (ask(pair[where], key, user="me"), ask(pair[where], second)):
        refused = await repeat
        assert code(refused) == (422, "idempotency_mismatch")
        assert refused.headers["x-should-retry"] == "false"
    assert len(provider.record.calls) == 1
    assert list(reserved["tags"]) == ["idempotent_body"]


async def test_operations_are_charged_once_too(pair: Pair, provider: RunningProvider):
    gateway = pair[0]
    account = gateway.ledger.account(5 * DOLLAR, unit="CREDIT", plan="studio")
    headers = {
        "authorization": f"Bearer {gateway.ledger.key(account)}",
        "idempotency-key": "one image",
    }
    answers = [
        await gateway.http.post(
            f"/v1/score-image?size={size}", json={"image": "cat"}, headers=headers
        )
        for size in (2, 2, 3)
    ]
    assert answers[1].content == answers[0].content
    assert answers[1].headers["farebox-charged"] == "1"
    assert code(answers[2]) == (422, "idempotency_mismatch")
    assert gateway.ledger.available(account) == 4 * DOLLAR
    assert len(provider.record.calls) == 1


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\x80b", "tab\there"])
async def test_what_is_no_key_is_refused(pair: Pair, bad: str):
    headers = {"idempotency-key": bad.encode("latin-1")}
    key = customer(pair[0])
    found = await pair[0].http.post(
        "/v1/chat/completions", json=HELLO, headers={"authorization": f"Bearer {key}", **headers}
    )
    assert code(found) == (400, "invalid_idempotency_key")
    assert pair[0].ledger.sent == []
