"""A fixed price: deducted first, kept on success, given back on failure."""

import asyncio
from pathlib import Path

import pytest

from simulators.provider.app import RunningProvider, running_provider
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    catalogue_for,
    running_gateway,
    script,
    until,
)

pytestmark = pytest.mark.requirement("PRC-5", "RSV-2")

CREDIT = DOLLAR


async def score(gateway: RunningGateway, key: str, image: str = "cat", **headers: str):
    return await gateway.http.post(
        "/v1/score-image?size=2&q=a%20b",
        json={"image": image},
        headers={"authorization": f"Bearer {key}", **headers},
    )


def studio(ledger: GatewayLedger, credits: int) -> tuple[str, str]:
    account = ledger.account(credits * CREDIT, unit="CREDIT", plan="studio")
    return account, ledger.key(account)


async def test_a_success_costs_exactly_the_price(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account, key = studio(ledger, 5)
    answer = await score(gateway, key, **{"x-secret": "mine", "accept-language": "de"})
    assert answer.status_code == 200
    assert answer.json()["of"] == 100
    assert ledger.available(account) == 4 * CREDIT
    headers = answer.headers
    assert (headers["farebox-charged"], headers["farebox-reserved"]) == ("1", "1")
    assert headers["farebox-available"] == "4"
    assert headers["farebox-route"] == "scorer/score-image"
    assert "farebox-max-output-tokens" not in headers
    [charged] = ledger.events("CreditsCharged")
    assert (charged["charge"], charged["basis"], charged["cost_pico"]) == (
        str(CREDIT),
        "fixed",
        None,
    )
    [call] = provider.record.calls
    assert (call.method, call.path, call.body) == ("POST", "/score", {"image": "cat"})
    assert call.headers["content-type"] == "application/json"
    assert call.headers["accept-language"] == "de"
    assert "x-secret" not in call.headers
    assert call.authorization == f"Bearer {provider.key}"


async def test_the_price_is_taken_before_the_call(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account, key = studio(ledger, 5)
    script(provider, hold=True)
    request = asyncio.create_task(score(gateway, key))
    await until(lambda: provider.record.calls)
    assert (ledger.available(account), ledger.reserved(account)) == (4 * CREDIT, CREDIT)
    provider.record.release()
    assert (await request).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
async def test_a_failure_gives_the_price_back_and_passes_the_answer_on(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, status: int
):
    account, key = studio(ledger, 5)
    script(provider, status=status)
    answer = await score(gateway, key)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == "provider_error"
    assert ledger.available(account) == 5 * CREDIT
    assert (answer.headers["farebox-charged"], answer.headers["farebox-available"]) == ("0", "5")
    [released] = ledger.events("CreditsReleased")
    assert (released["reason_code"], released["status"]) == ("operation_failed", status)


async def test_a_connection_that_breaks_gives_the_price_back(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account, key = studio(ledger, 5)
    for behaviour in ({"reset": True}, {"die_after_chunks": 0}):
        script(provider, **behaviour)
        answer = await score(gateway, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_interrupted")
    assert ledger.available(account) == 5 * CREDIT


async def test_no_answer_in_time_is_a_504_and_gives_the_price_back(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account, key = studio(ledger, 5)
    script(provider, hold=True)
    catalogue = catalogue_for(provider.url, **{'timeout = "60s"': 'timeout = "100ms"'})
    async with running_gateway(tmp_path, catalogue, ledger) as gateway:
        answer = await score(gateway, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert ledger.available(account) == 5 * CREDIT


@pytest.mark.requirement("RSV-4")
async def test_the_price_is_held_for_longer_than_a_call_may_take(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    _, key = studio(ledger, 5)
    catalogue = catalogue_for(provider.url, **{'timeout = "60s"': 'timeout = "3600s"'})
    async with running_gateway(tmp_path, catalogue, ledger) as gateway:
        assert (await score(gateway, key)).status_code == 200
    assert ledger.sent[0].data.hold_ms > 3_600_000


async def test_an_upstream_that_is_not_there_is_a_502(tmp_path: Path):
    ledger = GatewayLedger()
    account, key = studio(ledger, 5)
    async with running_provider() as gone:
        catalogue = catalogue_for(gone.url)
    async with running_gateway(tmp_path, catalogue, ledger) as gateway:
        answer = await score(gateway, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert ledger.available(account) == 5 * CREDIT


async def test_success_is_what_the_catalogue_says(tmp_path: Path, provider: RunningProvider):
    ledger = GatewayLedger()
    account, key = studio(ledger, 5)
    catalogue = catalogue_for(provider.url, **{'success = ["2xx"]': 'success = ["2xx", "422"]'})
    script(provider, status=422)
    async with running_gateway(tmp_path, catalogue, ledger) as gateway:
        assert (await score(gateway, key)).status_code == 422
    assert ledger.available(account) == 4 * CREDIT


FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
WITH_FEE = """unsettled = "charge"
fee = { currency = "USD", amount = "0.01", schedule = "fidelity-1" }"""


@pytest.mark.requirement("PRC-3", "RSV-4")
async def test_the_fee_and_the_rule_of_its_deadline_come_from_the_operation(
    tmp_path: Path, provider: RunningProvider
):
    ledger = GatewayLedger()
    account, key = studio(ledger, 5)
    catalogue = catalogue_for(provider.url, **{'unsettled = "release"': WITH_FEE})
    async with running_gateway(tmp_path, catalogue, ledger) as gateway:
        assert (await score(gateway, key)).status_code == 200
        script(provider, status=500)
        assert (await score(gateway, key)).status_code == 500
    held = ledger.events("CreditsReserved")
    assert [(hold["at_deadline"], hold["fee"]) for hold in held] == [("charge", FEE)] * 2
    [given_back] = ledger.events("CreditsReleased")
    assert given_back["fee_reversed"] == FEE
    assert ledger.available(account) == 4 * CREDIT, "a fee is never part of the balance"


@pytest.mark.requirement("PRC-3")
async def test_an_operation_without_a_fee_accrues_none_and_gives_back_at_its_deadline(
    gateway: RunningGateway, ledger: GatewayLedger
):
    _, key = studio(ledger, 5)
    assert (await score(gateway, key)).status_code == 200
    [hold] = ledger.events("CreditsReserved")
    assert (hold["at_deadline"], hold["fee"]) == ("release", None)


@pytest.mark.requirement("RSV-3")
async def test_one_credit_and_fifty_at_once_is_one_call(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account, key = studio(ledger, 1)
    answers = await asyncio.gather(*[score(gateway, key) for _ in range(50)])
    assert sorted({answer.status_code for answer in answers}) == [200, 402]
    assert sum(answer.status_code == 200 for answer in answers) == 1
    assert len(provider.record.calls) == 1
    assert ledger.available(account) == 0


async def test_what_is_not_sold_to_the_account_is_404(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    answer = await score(gateway, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert provider.record.calls == []


async def test_a_key_for_other_things_is_403(gateway: RunningGateway, ledger: GatewayLedger):
    account, _ = studio(ledger, 5)
    answer = await score(gateway, ledger.key(account, allowed=["swift-1"]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operation_not_allowed")


async def test_a_method_without_a_body_works(tmp_path: Path, provider: RunningProvider):
    ledger = GatewayLedger()
    account, key = studio(ledger, 5)
    text = EXAMPLE.replace(
        'method = "POST", path = "/v1/score-image"', 'method = "GET", path = "/v1/score-image"'
    ).replace('upstream_path = "/score"', 'upstream_path = "/v1/models"')
    async with running_gateway(tmp_path, catalogue_for(provider.url, text), ledger) as gateway:
        answer = await gateway.http.get("/v1/score-image", headers={"x-api-key": key})
    assert answer.json()["object"] == "list"
    assert provider.record.calls[0].method == "GET"
    assert ledger.available(account) == 4 * CREDIT
