"""The same model by every rule and in every unit: held, called, charged as the prices say."""

import pytest

from libs.events.money import decimal_text
from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    script,
)

pytestmark = pytest.mark.requirement("PRC-9", "CRD-6")

TOML = EXAMPLE.replace(
    'currency = "USD"', 'currency = "USD"\nconversion = { EUR = [23, 25], CREDIT = [1000, 1] }', 1
).replace(
    "[packs] ",
    """
[models.own-1]
rule = "retail"
routes = ["south/own-1"]
retail.EUR = { input = "1.00", output = "3.00" }
retail.CREDIT = { input = "100", output = "300000" }
[plans.payg-eur]
unit = "EUR"
sells = ["swift-1", "own-1"]
packs = ["eur-50"]
[packs] """,
)
TOML = TOML.replace(
    "[packs] ", '[packs]\neur-50 = { unit="EUR", gives="50", price={ EUR="50.00" } }\n#'
)
TOML = TOML.replace('sells = ["score-image"]', 'sells = ["score-image", "swift-1", "own-1"]')
# What the upstream of the own model costs is nobody's business here.
TOML = TOML.replace(
    'prices."swift-1-b"',
    'base_url = "https://llm.north.example/v1"\nprices."own-1" = { max_input = 9000, '
    'max_output = 5000 }\nprices."swift-1-b"',
).replace('base_url = "https://llm.south.example/v1"\n', "")


@pytest.mark.parametrize(
    ("unit", "plan", "model", "charge", "margin", "cost"),
    [
        ("USD", "payg", "swift-1", 1_100_000, 100_000, 10**9),
        ("EUR", "payg-eur", "swift-1", 1_012_000, 92_000, 10**9),
        ("CREDIT", "studio", "swift-1", 2 * DOLLAR, DOLLAR, 10**9),
        ("EUR", "payg-eur", "own-1", 2_250_000, 0, None),
        ("CREDIT", "studio", "own-1", 106 * DOLLAR, 0, None),
    ],
)
async def test_a_call_is_charged_by_the_plans_prices(
    gateway: RunningGateway,
    ledger: GatewayLedger,
    provider: RunningProvider,
    unit: str,
    plan: str,
    model: str,
    charge: int,
    margin: int,
    cost: int | None,
):
    account = ledger.account(10_000 * DOLLAR, unit=unit, plan=plan)
    script(provider, prompt_tokens=1200, words=350)
    answer = await gateway.chat(ledger.key(account), model=model)
    assert answer.status_code == 200, answer.text
    [held] = ledger.events("CreditsReserved")
    [charged] = ledger.events("CreditsCharged")
    assert (int(charged["charge"]), int(charged["margin"])) == (charge, margin)
    assert charged["cost_pico"] == (None if cost is None else str(cost))
    assert int(held["amount"]) >= charge
    assert ledger.available(account) == 10_000 * DOLLAR - charge
    assert int(held["amount"]) % (DOLLAR if unit == "CREDIT" else 1) == 0
    assert held["catalogue"] == gateway.worker.gateway.catalogue.hash


@pytest.mark.requirement("PRC-10")
@pytest.mark.parametrize(
    ("unit", "plan", "model"), [("EUR", "payg-eur", "swift-1"), ("CREDIT", "studio", "own-1")]
)
async def test_what_was_estimated_is_what_is_held(
    gateway: RunningGateway, ledger: GatewayLedger, unit: str, plan: str, model: str
):
    key = ledger.key(ledger.account(10_000 * DOLLAR, unit=unit, plan=plan))
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    told = await gateway.http.post(
        "/billing/v1/estimate",
        json={"path": "/v1/chat/completions", "body": body},
        headers={"authorization": f"Bearer {key}"},
    )
    assert told.status_code == 200, told.text
    assert ledger.sent == []
    await gateway.chat(key, model=model)
    [held] = ledger.events("CreditsReserved")
    assert told.json()["would_hold"] == decimal_text(int(held["amount"]), unit)
    assert told.json()["catalogue"] == held["catalogue"]
