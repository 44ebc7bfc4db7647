"""The official Anthropic SDKs, unmodified: only their base URL and key are ours."""

import pytest

from tests.sdk.harness import Case, Results, Sdk, stack, versions
from tests.support.catalogue import ANTHROPIC

pytestmark = pytest.mark.requirement("PRC-4")


def case(name: str, text: str = "Hello", **more) -> Case:
    return Case(name, **({"text": text, "model": "verse-1"} | more))


CASES = [
    case("json", "[[sim words=5]]"),
    case("stream", "[[sim words=5]]", call="stream"),
    case("tools", "[[sim words=2 tool]]", call="tools"),
    case("stream_tools", "[[sim words=2 tool]]", call="stream_tools"),
    case("count", call="count"),
    case("wrong", key="wrong", retries=2),
    case("poor", key="poor", retries=2),
    case("narrow", key="narrow", retries=2),
    case("unknown", model="free-lunch", retries=2),
    case("unsupported", fields={"service_tier": "auto"}, retries=2),
    case("away", key="away", retries=1),
    case("limited", "[[sim status=429]]", retries=1),
    case("overloaded", "[[sim status=503]]", retries=1),
    case("failed", "[[sim status=500]]", retries=1),
    case("dies", "[[sim words=9 die_after_chunks=6]]", call="stream"),
    case("tells", "[[sim words=9 error_after_chunks=6]]", call="stream"),
    case("once", "[[sim words=5 delay_ms=400]]", once="both", retries=2),
    case("again", "[[sim words=5 delay_ms=400]]", once="both", retries=2),
    case("late", "[[sim hold]]", timeout_s=2.0),
]
SDKS = versions("anthropic")


@pytest.fixture(scope="module")
async def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    async with stack(tmp_path_factory.mktemp("sdk"), text=ANTHROPIC) as running:
        return await running.run(SDKS, CASES)


@pytest.fixture(params=SDKS, ids=str)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    return request.param


@pytest.fixture
def found(sdk: Sdk, results: Results) -> dict:
    return results[str(sdk)]


def failed(found: dict, name: str) -> tuple:
    """Status, type and tries of a case that failed."""
    failure = found[name]["failure"]
    return failure["status"], failure["type"], found[name]["attempts"]


def test_answers_arrive_whole_and_streamed(found: dict):
    whole, stream = found["json"], found["stream"]
    assert whole["request_id"].startswith("req_")
    assert len(whole["text"].split()) == whole["output_tokens"] == 5
    for name in ("text", "finish", "input_tokens", "output_tokens"):
        assert stream[name] == whole[name]


@pytest.mark.parametrize("call", ["tools", "stream_tools"])
def test_tool_calls_arrive(found: dict, call: str):
    assert found[call]["tools"] == [{"name": "weather", "input": {"city": "Ghent"}}]
    assert found[call]["finish"] == "tool_use"


def test_tokens_are_counted(found: dict):
    assert found["count"]["input_tokens"] == 9


@pytest.mark.parametrize(
    ("case", "status", "kind", "error", "code"),
    [
        ("wrong", 401, "authentication_error", "AuthenticationError", "invalid_api_key"),
        ("narrow", 403, "permission_error", "PermissionDeniedError", "model_not_allowed"),
        ("unknown", 404, "not_found_error", "NotFoundError", "model_not_found"),
        ("unsupported", 400, "invalid_request_error", "BadRequestError", "unsupported_parameter"),
    ],
)
def test_refusals_are_the_sdks_own_errors_and_are_not_retried(
    found: dict, case: str, status: int, kind: str, error: str, code: str
):
    assert failed(found, case) == (status, kind, 1)
    failure = found[case]["failure"]
    assert failure["class"] == error
    assert failure["body"]["error"]["details"]["error_code"] == code
    assert failure["body"]["request_id"] == failure["request_id"]


@pytest.mark.requirement("RSV-9")
def test_a_402_is_told_as_what_it_is_and_not_retried(found: dict, sdk: Sdk):
    assert failed(found, "poor") == (402, "billing_error", 1)
    failure = found["poor"]["failure"]
    details = failure["body"]["error"]["details"]
    assert (details["available"], details["limit_source"]) == ("0.000001", "balance")
    if sdk.age == "newest":
        assert failure["class"] == "PaymentRequiredError"
        assert failure["code"] == "insufficient_prepaid_balance"


@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ("limited", 429, "rate_limit_error"),
        ("away", 503, "api_error"),
        ("overloaded", 529, "overloaded_error"),
        ("failed", 502, "api_error"),
    ],
)
def test_what_may_pass_is_tried_again(found: dict, case: str, status: int, kind: str):
    assert failed(found, case) == (status, kind, 2)


@pytest.mark.parametrize(("case", "kind"), [("dies", "api_error"), ("tells", "overloaded_error")])
def test_a_stream_that_breaks_off_is_an_error(found: dict, case: str, kind: str):
    assert found[case]["failure"]["type"] == kind
    assert found[case]["attempts"] == 1


@pytest.mark.requirement("RSV-3")
def test_two_calls_at_once_with_one_idempotency_key_get_one_answer(found: dict):
    """The one that comes second is told to come again, which the SDK does by itself."""
    once, again = found["once"], found["again"]
    assert once["output_tokens"] == 5
    for told in ("text", "request_id"):
        assert once[told] == again[told]


def test_an_answer_that_comes_too_late_is_the_sdks_timeout(found: dict):
    assert "Timeout" in found["late"]["failure"]["class"]
