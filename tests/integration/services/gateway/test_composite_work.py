"""Calls under `farebox-reservation` are bounded by it, recorded with their cost, charge nothing."""

import httpx
import pytest

from examples import composite_image, metered_fastapi
from services.gateway.estimate import LEAST_OUTPUT
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import script

pytestmark = pytest.mark.requirement("RSV-7")
CREDIT = DOLLAR = 10**9
PAINT = """
[operations.paint-image]
price = { CREDIT = "1" }
attached_cost_ceiling = "0.25"

[operations.dear-image]
price = { CREDIT = "1" }
attached_cost_ceiling = "0.000001"

[operations.tight-image]
price = { CREDIT = "1" }
attached_cost_ceiling = "0.005"
"""
TOML = EXAMPLE.replace("[plans.payg]", f"{PAINT}\n[plans.payg]", 1).replace(
    'sells = ["score-image"]',
    'sells = ["score-image", "paint-image", "dear-image", "tight-image"]',
)


@pytest.fixture
async def studio(gateway, ledger):
    """A client with the service key of an account that has three credits."""
    account = ledger.account(3 * CREDIT, unit="CREDIT", plan="studio")
    key = ledger.key(account, purpose="service")
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
        client.account = account
        yield client


async def held(client, operation="paint-image", key="once"):
    answer = await client.post(
        "/billing/v1/reservations", json={"operation": operation}, headers={"idempotency-key": key}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["reservation_id"]


async def chat(client, reservation, **fields):
    messages = [{"role": "user", "content": "Hello"}]
    return await client.post(
        "/v1/chat/completions",
        json={"model": "swift-1", "max_tokens": 64, "messages": messages} | fields,
        headers={"farebox-reservation": reservation},
    )


async def test_one_image_is_seven_calls_and_one_credit(studio, ledger, provider):
    answers = await composite_image.paint(studio, "a cat", "image-1")
    assert len(answers) == len(provider.record.calls) == 7
    assert ledger.available(studio.account) == 2 * CREDIT
    assert len(ledger.events("CreditsCharged")) == 1
    costs = [int(event["cost"]) for event in ledger.events("CallDetached")]
    assert len(costs) == 7
    assert all(costs)
    [charged] = ledger.events("CreditsCharged")
    told = (await studio.get(f"/billing/v1/reservations/{charged['res']}")).json()
    assert (told["state"], told["charge"], len(told["attached_calls"])) == ("settled", "1", 7)
    assert told["attached_cost"]["currency"] == "USD"


async def test_the_credit_is_given_back_when_call_five_fails(studio, ledger, provider):
    script(provider, status=500, contains="light: a cat")
    with pytest.raises(httpx.HTTPStatusError):
        await composite_image.paint(studio, "a cat", "image-1")
    assert len(provider.record.calls) == 5
    assert (ledger.available(studio.account), ledger.reserved(studio.account)) == (3 * CREDIT, 0)
    assert ledger.events("CallDetached")[-1]["cost"] == "0"
    assert ledger.events("CreditsCharged") == []


async def test_attached_calls_stop_at_the_ceiling_and_after_close(studio, ledger, provider):
    dear = await held(studio, "dear-image")
    answer = await chat(studio, dear)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "attached_ceiling")
    assert answer.headers["x-should-retry"] == "false"
    res = await held(studio, key="other")
    answer = await chat(studio, res)
    assert answer.status_code == 200
    assert answer.headers["farebox-charged"] == "0.00"
    await studio.post(f"/billing/v1/reservations/{res}/settle", json={})
    answer = await chat(studio, res)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "reservation_closed")
    assert len(provider.record.calls) == 1, "what was refused was never executed"


async def test_a_stream_without_a_cap_stays_within_what_it_was_attached_with(
    studio, ledger, provider
):
    caps = {"paint-image": 4096, "tight-image": None}
    for operation, most in caps.items():
        script(provider, words=3000, word_bytes=5)
        res = await held(studio, operation, key=operation)
        answer = await chat(studio, res, stream=True, max_tokens=None)
        assert answer.status_code == 200, answer.text
        cap = provider.record.calls[-1].body["max_completion_tokens"]
        assert cap == most if most else LEAST_OUTPUT <= cap < 4096, "told to the provider"
        assert answer.headers["farebox-max-output-tokens"] == str(cap)
        bound, cost = ledger.events("CallAttached")[-1], ledger.events("CallDetached")[-1]
        assert 0 < int(cost["cost"]) <= int(bound["cost_bound"])
    assert int(bound["cost_bound"]) == DOLLAR // 200, "all that its ceiling leaves"
    assert [command for command in ledger.sent if command.kind == "Extend"] == []


async def test_only_the_service_key_that_opened_it_runs_calls_under_it(
    gateway, studio, ledger, provider
):
    res = await held(studio)
    others = {
        "another service key": (ledger.key(studio.account, purpose="service"), 404),
        "an inference key": (ledger.key(studio.account), 403),
        "another account": (ledger.key(ledger.account(CREDIT), purpose="service"), 404),
    }
    for who, (key, status) in others.items():
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
            assert (await chat(client, res)).status_code == status, who
    for name in ("req_x", f"req_{'0' * 32}"):
        assert (await chat(studio, name)).status_code == 404
    assert provider.record.calls == []


async def test_a_route_of_fastapi_is_paid_in_a_few_lines(gateway, ledger, monkeypatch):
    account = ledger.account(DOLLAR)
    key = ledger.key(account, purpose="service")
    headers = {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(metered_fastapi.app)
    async with (
        httpx.AsyncClient(base_url=gateway.url, headers=headers) as farebox,
        httpx.AsyncClient(transport=transport, base_url="http://app") as app,
    ):
        monkeypatch.setattr(metered_fastapi, "farebox", farebox)
        assert (await app.get("/weather/lisbon")).json()["paid"] == "0.05"
        assert ledger.available(account) == DOLLAR - DOLLAR // 20
        assert (await app.get("/weather/atlantis")).status_code == 404
        assert ledger.available(account) == DOLLAR - DOLLAR // 20
        for _ in range(19):
            assert (await app.get("/weather/lisbon")).status_code == 200
        assert (await app.get("/weather/lisbon")).status_code == 402
