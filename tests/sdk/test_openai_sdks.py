"""The official OpenAI SDKs, unmodified: only their base URL and key are ours."""

import json

import pytest

from tests.sdk.harness import Case, Results, Sdk, stack, versions
from tests.support.gateway import DOLLAR

pytestmark = pytest.mark.requirement("PRC-4")

FIVE = "[[sim words=5]]"
CASES = [
    Case("json", text=FIVE),
    Case("stream", call="stream", text=FIVE),
    Case("tools", call="tools", text="[[sim tool words=2]]"),
    Case("tools_stream", call="tools_stream", text="[[sim tool words=2]]"),
    Case("wrong_key", key="wrong", retries=2),
    Case("poor", key="poor", retries=2),
    Case("narrow", key="narrow", retries=2),
    Case("unknown", model="free-lunch", retries=2),
    Case("refused_field", fields={"service_tier": "flex"}, retries=2),
    Case("limited", text="[[sim status=429]]"),
    Case("overloaded", text="[[sim status=503]]"),
    Case("overloaded_stream", call="stream", text="[[sim status=503]]"),
    Case("dies", call="stream", text="[[sim words=9 die_after_chunks=4]]"),
    Case("fails", call="stream", text="[[sim words=9 error_after_chunks=4]]"),
    Case("slow", text="[[sim hold]]", timeout_s=2.0),
    Case("response", call="response", text=FIVE),
    Case("response_stream", call="response_stream", text=FIVE),
    Case("response_capped", call="response_stream", text=FIVE, fields={"max_output_tokens": 3}),
    Case("response_dies", call="response_stream", text="[[sim words=9 die_after_chunks=7]]"),
    Case("response_refused", call="response", fields={"background": True}, retries=2),
    Case("completion", call="completion", text=FIVE),
    Case("embeddings", call="embeddings", fields={"input": ["abcd", "efgh"]}),
    Case("image", call="image", model="gpt-image-1", fields={"n": 2, "size": "1024x1024"}),
    Case("models", call="models"),
    Case("once", text="[[sim words=5 delay_ms=400]]", once="both", retries=2),
    Case("again", text="[[sim words=5 delay_ms=400]]", once="both", retries=2),
]
IMAGES = """prices."gpt-image-1" = { input = "5.00", output = "40.00", max_input = 32_000, max_output = 6240 }
[models."gpt-image-1"]
routes = ["north/gpt-image-1"]
[upstreams.south]"""
CATALOGUE = {
    "[upstreams.south]": IMAGES,
    'sells = ["swift-1"]': 'sells = ["swift-1", "gpt-image-1"]',
}
SDKS = versions("openai")


@pytest.fixture(scope="module")
async def ran(tmp_path_factory: pytest.TempPathFactory):
    async with stack(tmp_path_factory.mktemp("sdk"), **CATALOGUE) as running:
        yield await running.run(SDKS, CASES), running.gateway.ledger


@pytest.fixture
def results(ran) -> Results:
    return ran[0]


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_answers_arrive_whole_and_streamed(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    assert len(found["json"]["text"].split()) == found["json"]["output_tokens"] == 5
    assert found["json"]["request_id"].startswith("req_")
    assert found["stream"]["text"] == found["json"]["text"]
    assert found["stream"]["finish"] == found["json"]["finish"] == "stop"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_tool_calls_arrive_whole_and_streamed(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    for name in ("tools", "tools_stream"):
        called = found[name]
        assert (called["name"], called["finish"]) == ("weather", "tool_calls")
        assert json.loads(called["arguments"]) == {"city": "Ghent"}
    assert found["tools_stream"]["usages"] == 1, "the usage that the client asked for"


REFUSED = {
    "wrong_key": (401, "invalid_api_key", None),
    "poor": (402, "insufficient_prepaid_balance", None),
    "narrow": (403, "model_not_allowed", "model"),
    "unknown": (404, "model_not_found", "model"),
    "refused_field": (400, "unsupported_parameter", "service_tier"),
    "response_refused": (400, "unsupported_parameter", "background"),
}
CLASSES = {
    "wrong_key": "AuthenticationError",
    "narrow": "PermissionDeniedError",
    "unknown": "NotFoundError",
    "refused_field": "BadRequestError",
    "limited": "RateLimitError",
    "overloaded": "InternalServerError",
    "overloaded_stream": "InternalServerError",
}


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_refusals_are_the_sdks_own_errors_and_are_not_retried(results: Results, sdk: Sdk):
    for name, told in REFUSED.items():
        outcome = results[str(sdk)][name]
        failure = outcome["failure"]
        assert (failure["status"], failure["code"], failure["param"]) == told, name
        assert outcome["attempts"] == 1, name
    poor = results[str(sdk)]["poor"]["failure"]
    assert poor["type"] == "insufficient_prepaid_balance"
    assert poor["body"]["details"]["limit_source"] == "balance"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_failures_of_the_provider_are_the_sdks_own_errors(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    for name, kind in CLASSES.items():
        assert found[name]["failure"]["class"] == kind, name
    assert found["limited"]["failure"]["code"] == "upstream_rate_limited"
    assert found["overloaded"]["failure"]["code"] == "upstream_overloaded"
    assert "Timeout" in found["slow"]["failure"]["class"]


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_an_error_in_the_middle_of_a_stream_is_raised(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    assert found["dies"]["failure"]["code"] == "upstream_interrupted"
    assert found["fails"]["failure"]["code"] == "provider_error"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_responses_arrive_whole_and_streamed(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    whole, streamed = found["response"], found["response_stream"]
    assert (whole["status"], whole["output_tokens"]) == ("completed", 5)
    assert streamed["first"] == "response.created"
    assert whole["text"] == streamed["text"] == streamed["said"]
    capped = found["response_capped"]
    assert (capped["status"], capped["output_tokens"]) == ("incomplete", 3)
    assert capped["text"] == capped["said"]


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_a_response_that_breaks_off_says_so(results: Results, sdk: Sdk):
    assert results[str(sdk)]["response_dies"]["failure"]["code"] == "upstream_interrupted"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_all_other_surfaces_answer(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    completion, embeddings = found["completion"], found["embeddings"]
    assert completion["text"] == completion["said"]
    assert len(completion["text"].split()) == 5
    assert (embeddings["lengths"], embeddings["tokens"]) == ([8, 8], 2)
    assert found["image"]["images"] == ["iVBORw0K"] * 2
    assert found["models"]["listed"] == ["gpt-image-1", "swift-1"]
    assert found["models"]["one"] == "swift-1"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
@pytest.mark.requirement("RSV-3")
def test_two_calls_at_once_with_one_idempotency_key_get_one_answer(results: Results, sdk: Sdk):
    """The one that comes second is told to come again, which the SDK does by itself."""
    once, again = (results[str(sdk)][name] for name in ("once", "again"))
    assert once["output_tokens"] == 5
    for told in ("text", "request_id"):
        assert once[told] == again[told]


@pytest.mark.requirement("RSV-2")
def test_every_call_was_paid_once_and_nothing_stays_held(ran):
    results, ledger = ran
    paid = ["json", "stream", "tools", "tools_stream", "slow", "response", "response_stream",
            "response_capped", "completion", "completion", "embeddings", "image", "once"]  # fmt: skip
    charges = [int(event["charge"]) for event in ledger.events("CreditsCharged")]
    assert len(charges) == len(paid) * len(results)
    left = sum(account.available for account in ledger.rules.accounts.values())
    assert left == 101 * DOLLAR + 1_000 - sum(charges)
    assert not any(account.reserved for account in ledger.rules.accounts.values())
