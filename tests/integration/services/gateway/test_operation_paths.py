"""Operations whose path has parts of the customer's own: each call pays, none leaves its place."""

import asyncio

import pytest

from simulators.provider.app import RunningProvider
from tests.support.catalogue import EXAMPLE
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    script,
)

pytestmark = pytest.mark.requirement("PRC-5")

METHODS = ("GET", "PUT", "PATCH", "DELETE", "POST")
OPERATION = """
[operations.item-{method}]
route = {{ method = "{METHOD}", path = "/v1/items/{{id}}/score", upstream = "scorer", upstream_path = "/items/{{id}}/score" }}
price = {{ CREDIT = "2" }}
success = ["2xx", "404"]
timeout = "5s"
fee = {{ currency = "USD", amount = "0.01", schedule = "fidelity-1" }}
"""
OPERATIONS = "".join(OPERATION.format(method=name.lower(), METHOD=name) for name in METHODS)
NAMES = ", ".join(f'"item-{name.lower()}"' for name in METHODS)
TOML = EXAMPLE.replace("[plans.payg]", OPERATIONS + "[plans.payg]").replace(
    'sells = ["score-image"]', f"sells = [{NAMES}]"
)


@pytest.fixture
def account(ledger: GatewayLedger) -> str:
    return ledger.account(20 * DOLLAR, unit="CREDIT", plan="studio")


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_is_sold_at_its_price_with_its_fee(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, account: str, method
):
    answer = await gateway.http.request(
        method, "/v1/items/a%20b/score?deep=1", headers={"x-api-key": ledger.key(account)}
    )
    assert answer.json() == {"id": "a b", "path": "/items/a%20b/score?deep=1"}
    assert answer.headers["farebox-charged"] == "2"
    assert ledger.available(account) == 18 * DOLLAR
    [held] = ledger.events("CreditsReserved")
    assert (held["operation"], held["fee"]["minor"]) == (f"item-{method.lower()}", 1)
    assert provider.record.calls[0].method == method


async def test_success_is_what_the_operation_says_it_is(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, account: str
):
    headers = {"x-api-key": ledger.key(account)}
    for status, left in ((404, 18), (500, 18), (422, 18)):
        script(provider, status=status)
        answer = await gateway.http.get("/v1/items/7/score", headers=headers)
        assert (answer.status_code, ledger.available(account)) == (status, left * DOLLAR)


@pytest.mark.parametrize(
    "path",
    ["/v1/items/../score", "/v1/items/%2e%2e/score", "/v1/items/a%2F..%2Fb/score",
     "/v1/items/%252e%252e/score", "/v1/items//score", "/v1/items/..;/score",
     "/v1/items/7/../../score"],
)  # fmt: skip
async def test_no_path_leaves_its_place(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider, account: str, path
):
    # By hand: a client's library would tidy these paths up.
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    key = ledger.key(account)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await writer.wait_closed()
    assert provider.record.calls == ledger.sent == []
