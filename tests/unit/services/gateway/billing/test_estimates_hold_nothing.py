"""POST /billing/v1/estimate: the bound of a request, its prices and whether it fits."""

import json
from decimal import Decimal

import pytest

from libs.catalogue import price_lines
from tests.support.catalogue import ANTHROPIC, EXAMPLE

pytestmark = pytest.mark.requirement("PRC-10")

HELLO = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]}
CHAT = "/v1/chat/completions"


async def estimate(api, secret: str, path: str = CHAT, **more):
    return await api.call("POST", "/estimate", secret, json={"path": path, **more})


async def test_a_chat_completion_is_told_its_bound_and_its_prices(api):
    customer = await api.customer(amount=10**9)
    sent = len(api.ledger.sent)
    told = (await estimate(api, customer.inference, body=HELLO | {"max_tokens": 100})).json()
    size = len(json.dumps(HELLO | {"max_tokens": 100}, separators=(",", ":"))) + 1024
    bound = (size * 250_000 + 100 * 2_000_000) * 11 // 10_000
    assert (
        told["bound"]
        == told["at_least"]
        == told["would_hold"]
        == f"{bound / 10**9:.9f}".rstrip("0")
    )
    assert (told["kind"], told["name"], told["surface"]) == ("model", "swift-1", "openai_chat")
    assert (told["input_tokens"], told["max_output_tokens"]) == (size, 100)
    assert (told["available"], told["fits"], told["unit"]) == ("1.00", True, "USD")
    assert told["prices"] == price_lines(api.catalogue, api.catalogue.plans["payg"])[0]
    assert told["catalogue"] == api.catalogue.hash
    # Nothing but questions: no command was sent.
    assert len(api.ledger.sent) == sent


ANYWHERE = {
    "/v1/completions": {"prompt": "Hello", "max_tokens": 100},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 100},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/images/generations": {"prompt": "Hello"},
    "/v1/messages": HELLO | {"model": "verse-1", "max_tokens": 100},
}


@pytest.mark.parametrize("path", ANYWHERE)
@pytest.mark.parametrize("catalogue_text", [ANTHROPIC])
async def test_any_surface_is_told_its_bound(api, path):
    customer = await api.customer(amount=10**9)
    body = {"model": "swift-1"} | ANYWHERE[path]
    told = (await estimate(api, customer.inference, path, body=body)).json()
    size = len(json.dumps(body, separators=(",", ":")))
    assert told["input_tokens"] == size + 1024
    output = 0 if path == "/v1/embeddings" else 32_000 if "images" in path else 100
    given, made = (3_750_000, 15_000_000) if path == "/v1/messages" else (250_000, 2_000_000)
    pico = told["input_tokens"] * given + output * made
    assert Decimal(told["bound"]) == -(-pico * 11 // 10_000) / Decimal(10**9)
    assert told["max_output_tokens"] == (100 if output == 100 else None)


async def test_what_does_not_fit_is_told_with_a_cap_that_would(api):
    customer = await api.customer(amount=1_000_000)
    asked = HELLO | {"max_tokens": 30_000}
    told = (await estimate(api, customer.inference, body=asked)).json()
    assert (told["fits"], told["would_hold"]) == (False, None)
    cap = told["max_affordable_output_tokens"]
    assert 0 < cap < 30_000
    again = (await estimate(api, customer.inference, body=HELLO | {"max_tokens": cap})).json()
    assert (again["fits"], again["max_output_tokens"]) == (True, cap)


async def test_without_a_cap_it_is_told_what_would_be_held(api):
    customer = await api.customer(amount=2_000_000)
    told = (await estimate(api, customer.inference, body=HELLO)).json()
    assert (told["fits"], told["would_hold"]) == (True, "0.002")
    assert 256 < told["max_output_tokens"] < 4096


async def test_a_body_as_text_counts_byte_for_byte(api):
    customer = await api.customer()
    compact = (await estimate(api, customer.inference, body=HELLO)).json()
    spaced = (await estimate(api, customer.inference, body=json.dumps(HELLO, indent=9))).json()
    assert spaced["input_tokens"] > compact["input_tokens"]


async def test_an_operation_is_told_its_price(api):
    customer = await api.customer("CREDIT", "studio", 3 * 10**9)
    told = (await estimate(api, customer.inference, "/v1/score-image")).json()
    assert (told["kind"], told["bound"], told["would_hold"]) == ("operation", "1", "1")
    assert (told["fits"], told["max_output_tokens"]) == (True, None)
    assert told["prices"]["name"] == "score-image"


@pytest.mark.parametrize(
    ("path", "more", "status", "code"),
    [
        (CHAT, {"body": HELLO | {"model": "grand-9"}}, 404, "model_not_found"),
        (CHAT, {"body": HELLO | {"service_tier": "flex"}}, 400, "unsupported_parameter"),
        (CHAT, {"body": {}}, 400, "invalid_value"),
        (CHAT, {"body": "{"}, 400, "invalid_json"),
        (CHAT, {"body": 7}, 422, "invalid_request"),
        (CHAT, {"method": "GET"}, 422, "invalid_request"),
        ("/v1/nothing", {}, 422, "invalid_request"),
        ("v1/score-image", {}, 422, "invalid_request"),
        ("/v1/score-image", {}, 404, "model_not_found"),
    ],
)
async def test_what_would_be_refused_is_refused_here_as_a_problem(api, path, more, status, code):
    customer = await api.customer()
    answer = await estimate(api, customer.inference, path, **more)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_field_that_is_not_sold_is_named(api):
    customer = await api.customer()
    answer = await estimate(api, customer.inference, body=HELLO | {"service_tier": "flex"})
    assert answer.json()["param"] == "service_tier"


@pytest.mark.parametrize(
    "catalogue_text", [EXAMPLE.replace('path = "/v1/score-image"', 'path = "/v1/items/{id}/score"')]
)
async def test_a_path_with_parts_of_the_customers_own_is_found(api):
    customer = await api.customer("CREDIT", "studio")
    told = (await estimate(api, customer.inference, "/v1/items/7/score")).json()
    assert told["name"] == "score-image"


async def test_half_a_character_is_a_fault_of_the_body(api):
    customer = await api.customer()
    for body in ('{"path": "/v1/chat/completions", "body": "\\ud800"}',
                 '{"path": "/v1/chat/completions", "body": {"model": "\\ud800"}}'):  # fmt: skip
        answer = await api.call("POST", "/estimate", customer.inference, content=body)
        assert answer.status_code == 422


async def test_only_a_key_that_may_spend_is_told(api):
    customer = await api.customer()
    answer = await estimate(api, customer.account, body=HELLO)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_a_body_as_large_as_a_request_may_be_is_taken(api):
    customer = await api.customer()
    long = HELLO | {"messages": [{"role": "user", "content": "x" * 200_000}]}
    told = (await estimate(api, customer.inference, body=long)).json()
    assert told["input_tokens"] > 200_000
    too_long = {"path": CHAT, "body": "x" * api.catalogue.gateway.body_max}
    assert (
        await api.call("POST", "/estimate", customer.inference, json=too_long)
    ).status_code == 413
