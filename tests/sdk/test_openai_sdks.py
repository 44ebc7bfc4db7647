"""The official OpenAI SDKs, unmodified: only their base URL and key are ours."""

import pytest

from tests.sdk.harness import Case, Results, Sdk, stack, versions

pytestmark = pytest.mark.requirement("PRC-4")

CASES = [
    Case("json", text="[[sim words=5]]"),
    Case("stream", call="stream", text="[[sim words=5]]"),
    Case("wrong_key", key="wrong", retries=2),
    Case("poor", key="poor", retries=2),
]
SDKS = versions("openai")


@pytest.fixture(scope="module")
async def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    async with stack(tmp_path_factory.mktemp("sdk")) as running:
        return await running.run(SDKS, CASES)


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_answers_arrive_whole_and_streamed(results: Results, sdk: Sdk):
    found = results[str(sdk)]
    assert len(found["json"]["text"].split()) == found["json"]["output_tokens"] == 5
    assert found["json"]["request_id"].startswith("req_")
    assert found["stream"]["text"] == found["json"]["text"]


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_refusals_are_the_sdks_own_errors_and_are_not_retried(results: Results, sdk: Sdk):
    wrong, poor = results[str(sdk)]["wrong_key"], results[str(sdk)]["poor"]
    assert wrong["failure"]["class"] == "AuthenticationError"
    assert (poor["failure"]["status"], poor["failure"]["code"]) == (
        402,
        "insufficient_prepaid_balance",
    )
    assert wrong["attempts"] == poor["attempts"] == 1
