"""Generated images: paid by the tokens that are reported, or by the piece."""

import openai
import pytest

from libs.catalogue import charge_nanos
from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    script,
)

pytestmark = pytest.mark.requirement("PRC-4", "PRC-7")

PRICES = """
prices."gpt-image-1" = { input = "5.00", output = "10.00", image_output = "40.00", max_input = 32_000, max_output = 6240 }
prices."piece-1" = { input = "0", image = "0.04", max_input = 4_000, max_output = 0 }
[models."gpt-image-1"]
routes = ["north/gpt-image-1"]
[models."piece-1"]
routes = ["north/piece-1"]
[upstreams.south]
"""
TOML = EXAMPLE.replace("[upstreams.south]\n", PRICES.lstrip()).replace(
    'sells = ["swift-1"]', 'sells = ["swift-1", "gpt-image-1", "piece-1"]'
)


async def test_a_picture_pays_its_tokens(gateway: RunningGateway, ledger: GatewayLedger):
    account = ledger.account(DOLLAR)
    async with gateway.sdk(ledger.key(account)) as client:
        answer = await client.images.generate(
            model="gpt-image-1", prompt="a cat!!!", n=2, size="1024x1024", quality="low"
        )
    assert len(answer.data) == 2
    charge = charge_nanos(2 * 5_000_000 + 2 * 272 * 40_000_000, 1000, "USD")
    [charged] = ledger.events("CreditsCharged")
    assert (int(charged["charge"]), charged["basis"]) == (charge, "actual")
    assert charged["usage"] == {
        "input_tokens": 2, "cached_tokens": 0, "output_tokens": 544, "image_output_tokens": 544,
        "images": 2,
    }  # fmt: skip
    [reserved] = ledger.events("CreditsReserved")
    assert charge <= int(reserved["amount"]) < 2 * charge
    assert ledger.available(account) == DOLLAR - charge


@pytest.mark.requirement("PRC-2")
async def test_auto_holds_the_dearest_picture_and_it_covers_it(
    gateway: RunningGateway, ledger: GatewayLedger
):
    account = ledger.account(DOLLAR)
    async with gateway.sdk(ledger.key(account)) as client:
        await client.images.generate(model="gpt-image-1", prompt="a cat")
    [charged] = ledger.events("CreditsCharged")
    assert charged["usage"]["image_output_tokens"] == 6240
    assert (charged["extra"], charged["loss"]) == ("0", "0")


async def test_without_usage_each_picture_counts_all_it_can(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    script(provider, usage="none")
    async with gateway.sdk(ledger.key(account)) as client:
        await client.images.generate(model="gpt-image-1", prompt="a cat", quality="low")
    [charged] = ledger.events("CreditsCharged")
    assert (charged["basis"], charged["usage"]["image_output_tokens"]) == ("estimate", 408)


async def test_a_piece_costs_its_price_and_that_is_no_estimate(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    async with gateway.sdk(ledger.key(account)) as client:
        await client.images.generate(model="piece-1", prompt="a cat", n=3, size="512x512")
        with pytest.raises(openai.BadRequestError) as caught:
            await client.images.generate(model="piece-1", prompt="a cat", quality="hd")
    assert caught.value.param == "quality"
    [charged] = ledger.events("CreditsCharged")
    assert (charged["basis"], charged["usage"]["images"]) == ("actual", 3)
    assert ledger.available(account) == DOLLAR - 3 * 44_000_000
    assert len(provider.record.calls) == 1


async def test_a_model_without_output_is_not_sold_where_it_would_speak(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    answer = await gateway.chat(ledger.key(ledger.account(DOLLAR)), model="piece-1")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_value", "model")
    assert provider.record.calls == ledger.sent == []
