"""The list of models is what the account of the key can buy, in the dialect of the request."""

import openai
import pytest

from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
)

pytestmark = pytest.mark.requirement("PRC-4")

MORE = """
[upstreams.west]
shape = "anthropic"
base_url = "http://127.0.0.1:9100/v1"
key_env = "FAREBOX_UPSTREAM_WEST_KEY"
prices."calm-1" = { input = "3.00", output = "15.00", max_input = 200_000, max_output = 64_000 }
[models."calm-1"]
routes = ["west/calm-1"]
[models."org/grand-1"]
routes = ["south/swift-1-b"]
[models."unsold-1"]
routes = ["south/swift-1-b"]
[operations.score-image]
"""
SOLD = 'sells = ["swift-1", "org/grand-1", "calm-1"]'
TOML = EXAMPLE.replace("[operations.score-image]\n", MORE.lstrip()).replace(
    'sells = ["swift-1"]', SOLD
)


@pytest.fixture(autouse=True)
def _nothing_is_held_or_called(ledger: GatewayLedger, provider: RunningProvider):
    yield
    assert ledger.sent == []
    assert provider.record.calls == []


async def test_the_openai_list_is_what_the_account_can_buy_there(
    gateway: RunningGateway, ledger: GatewayLedger
):
    key = ledger.key(ledger.account(DOLLAR))
    async with gateway.sdk(key) as client:
        listed = [model.id async for model in client.models.list()]
        assert listed == ["org/grand-1", "swift-1"]
        for name in listed:
            model = await client.models.retrieve(name)
            assert (model.id, model.object, model.owned_by) == (name, "model", "farebox")
        for name in ("unsold-1", "calm-1", "free-lunch"):
            with pytest.raises(openai.NotFoundError) as caught:
                await client.models.retrieve(name)
            assert caught.value.code == "model_not_found"


async def test_anthropics_list_is_what_can_be_had_as_messages(
    gateway: RunningGateway, ledger: GatewayLedger
):
    headers = {"x-api-key": ledger.key(ledger.account(DOLLAR)), "anthropic-version": "2023-06-01"}
    model = {
        "type": "model",
        "id": "calm-1",
        "display_name": "calm-1",
        "created_at": "1970-01-01T00:00:00Z",
    }
    answer = await gateway.http.get("/v1/models?limit=20", headers=headers)
    assert answer.json() == {
        "data": [model], "has_more": False, "first_id": "calm-1", "last_id": "calm-1",
    }  # fmt: skip
    assert (await gateway.http.get("/v1/models/calm-1", headers=headers)).json() == model
    answer = await gateway.http.get("/v1/models/swift-1", headers=headers)
    told = answer.json()
    assert (answer.status_code, told["error"]["type"]) == (404, "not_found_error")
    assert told["request_id"] == answer.headers["x-request-id"]


async def test_a_keys_own_list_narrows_it(gateway: RunningGateway, ledger: GatewayLedger):
    account = ledger.account(DOLLAR)
    async with gateway.sdk(ledger.key(account, allowed=["swift-1", "unsold-1"])) as client:
        assert [model.id async for model in client.models.list()] == ["swift-1"]
    studio = ledger.key(ledger.account(DOLLAR, unit="CREDIT", plan="studio"))
    async with gateway.sdk(studio) as client:
        assert [model.id async for model in client.models.list()] == []


@pytest.mark.requirement("ACC-7")
async def test_only_an_inference_key_sees_it(gateway: RunningGateway, ledger: GatewayLedger):
    owner = ledger.key(ledger.account(DOLLAR), purpose="account")
    for headers, status, code, kind in (
        ({}, 401, "invalid_api_key", "authentication_error"),
        ({"x-api-key": "fb_0_wrong"}, 401, "invalid_api_key", "authentication_error"),
        ({"x-api-key": owner}, 403, "scope_missing", "permission_error"),
    ):
        answer = await gateway.http.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        answer = await gateway.http.get(
            "/v1/models/x", headers=headers | {"anthropic-version": "2023-06-01"}
        )
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


async def test_other_methods_and_paths_are_404(gateway: RunningGateway):
    for method, path in (
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/x"),
        ("GET", "/v1/modelsx"),
    ):
        answer = await gateway.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
