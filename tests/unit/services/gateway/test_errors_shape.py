import orjson
import pytest

from services.gateway.errors import Refusal, insufficient, openai_body, openai_event

DECLINED = {
    "code": "insufficient_balance",
    "required": "1100000000",
    "available": "850000000",
    "reserved": "400000000",
    "total": "1250000000",
    "limit_source": "balance",
}


@pytest.mark.requirement("RSV-9")
def test_the_402_of_a_usd_account_is_exactly_the_documented_body():
    raw = openai_body(insufficient(DECLINED, "USD", "https://f.example/top-up"))
    assert raw == (
        b'{"error":{"message":"Insufficient prepaid balance. This request needs 1.10 USD; 0.85 USD '
        b'is available. Top up: https://f.example/top-up","type":"insufficient_prepaid_balance",'
        b'"param":null,"code":"insufficient_prepaid_balance","balance_usd":1.25,"reserved_usd":0.40,'
        b'"required_usd":1.10,"details":{"currency":"USD","total":"1.25","reserved":"0.40",'
        b'"available":"0.85","required":"1.10","limit_source":"balance",'
        b'"top_up_url":"https://f.example/top-up"}}}'
    )


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        ("in_flight", {b"retry-after": b"1", b"x-should-retry": b"true"}),
        ("balance", {b"x-should-retry": b"false"}),
        ("key_cap", {b"x-should-retry": b"false"}),
        ("account_cap", {b"x-should-retry": b"false"}),
    ],
)
def test_only_what_is_held_in_flight_may_be_tried_again(source: str, headers: dict):
    refusal = insufficient(DECLINED | {"limit_source": source}, "EUR", "u")
    assert dict(refusal.headers) == headers
    error = orjson.loads(openai_body(refusal))["error"]
    assert error["details"]["limit_source"] == source
    assert "balance_usd" not in error


@pytest.mark.requirement("RSV-9")
@pytest.mark.parametrize(
    ("source", "told"), [("balance", 850), ("in_flight", 850), ("key_cap", None)]
)
def test_a_cap_that_would_fit_is_told_where_the_balance_is_what_limits(source: str, told):
    declined = DECLINED | {"limit_source": source}
    refusal = insufficient(declined, "USD", "u", lambda available: available // 10**6)
    assert refusal.extra["details"].get("max_affordable_output_tokens") == told


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "invalid_request_error"), (403, "permission_error"),
     (404, "invalid_request_error"), (500, "server_error"), (503, "server_error")],
)  # fmt: skip
def test_the_type_follows_the_status(status: int, kind: str):
    assert orjson.loads(openai_body(Refusal(status, "c", "m")))["error"]["type"] == kind


def test_an_error_in_a_stream_is_one_event():
    event = openai_event(Refusal(502, "c", "line\nbreak"))
    assert event.startswith(b"data: {")
    assert event.count(b"\n") == 2
    assert event.endswith(b"\n\n")
