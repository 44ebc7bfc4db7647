"""Refusals in Anthropic's shape."""

import orjson
import pytest

from services.gateway.errors import Refusal, insufficient, unsupported
from services.gateway.surfaces.anthropic_errors import anthropic_body, anthropic_event

DECLINED = {"required": 1_100_000_000, "available": 850_000_000, "reserved": 400_000_000,
            "total": 1_250_000_000, "limit_source": "balance"}  # fmt: skip


@pytest.mark.requirement("RSV-9")
def test_the_402_is_a_billing_error_with_its_code_in_the_details():
    refusal = insufficient(DECLINED, "USD", "https://f.example/top-up")
    refusal.request_id = "req_1"
    assert anthropic_body(refusal) == (
        b'{"type":"error","error":{"type":"billing_error","message":"Insufficient prepaid balance. '
        b"This request needs 1.10 USD; 0.85 USD is available. Top up: "
        b'https://f.example/top-up","details":{"error_code":"insufficient_prepaid_balance",'
        b'"currency":"USD","total":"1.25","reserved":"0.40","available":"0.85","required":"1.10",'
        b'"limit_source":"balance","top_up_url":"https://f.example/top-up"},"balance_usd":1.25,'
        b'"reserved_usd":0.40,"required_usd":1.10},"request_id":"req_1"}'
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"),
     (404, "not_found_error"), (408, "invalid_request_error"), (413, "request_too_large"),
     (415, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error"),
     (502, "api_error"), (503, "api_error"), (504, "timeout_error"), (529, "overloaded_error")],
)  # fmt: skip
def test_the_type_follows_the_status(status: int, kind: str):
    told = orjson.loads(anthropic_body(Refusal(status, "c", "m")))
    assert told["type"] == "error"
    assert told["error"] == {"type": kind, "message": "m", "details": {"error_code": "c"}}


def test_the_parameter_that_is_refused_is_in_the_details():
    told = orjson.loads(anthropic_body(unsupported("tools[0].type", "Why.")))
    assert told["error"]["details"]["param"] == "tools[0].type"


def test_an_error_in_a_stream_is_one_event():
    event = anthropic_event(Refusal(502, "c", "line\nbreak"))
    assert event.startswith(b'event: error\ndata: {"type":"error"')
    assert event.count(b"\n") == 3
    assert event.endswith(b"\n\n")
