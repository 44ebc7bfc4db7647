"""What bad input gets: the right error, no state changed, nothing executed."""

from datetime import timedelta

import openai
import orjson
import pytest

from libs.events import commands as c
from libs.events.ids import new_secret
from simulators.provider.app import RunningProvider
from tests.support.deciding import command
from tests.support.gateway import DOLLAR, GatewayLedger, RunningGateway, until

HELLO = [{"role": "user", "content": "Hello"}]
BODY = orjson.dumps({"model": "swift-1", "messages": HELLO})


@pytest.fixture
def untouched(ledger: GatewayLedger, provider: RunningProvider):
    """Afterwards: no command was sent, no upstream called."""
    yield
    assert ledger.sent == []
    assert provider.record.calls == []


async def post(gateway: RunningGateway, key: str | None, body: bytes = BODY, **headers: str):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        given["authorization"] = f"Bearer {key}"
    return await gateway.http.post("/v1/chat/completions", content=body, headers=given)


def error(answer) -> dict:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == answer.headers["farebox-request-id"]
    found = answer.json()["error"]
    assert found.keys() >= {"message", "type", "param", "code"}
    return found


@pytest.mark.requirement("ACC-3")
@pytest.mark.usefixtures("untouched")
class TestKeys:
    @pytest.mark.parametrize(
        "key", ["x", "sk-something", "fb_0_short", new_secret(0), new_secret(99)]
    )
    async def test_an_unknown_key_is_refused(self, gateway: RunningGateway, key: str):
        answer = await post(gateway, key)
        assert answer.status_code == 401
        assert error(answer)["code"] == "invalid_api_key"

    async def test_no_key_is_refused(self, gateway: RunningGateway):
        assert (await post(gateway, None)).status_code == 401

    async def test_a_key_is_judged_before_the_body_is_read(self, gateway: RunningGateway):
        assert (await post(gateway, new_secret(0), b"{")).status_code == 401

    async def test_a_revoked_key_is_refused(self, gateway: RunningGateway, ledger: GatewayLedger):
        account = ledger.account(DOLLAR)
        key = ledger.key(account)
        [key_id] = ledger.rules.accounts[account].keys
        data = {"key_id": key_id, "reason_code": "lost"}
        ledger.run(command(c.RevokeKey, account, data, caller_id=f"revoke:{key_id}"))
        assert (await post(gateway, key)).status_code == 401

    async def test_an_expired_key_is_refused(self, gateway: RunningGateway, ledger: GatewayLedger):
        account = ledger.account(DOLLAR)
        key = ledger.key(account, expires_at=ledger.rules.at + timedelta(minutes=1))
        ledger.rules.after(minutes=1)
        assert (await post(gateway, key)).status_code == 401

    async def test_an_account_key_cannot_spend(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        key = ledger.key(ledger.account(DOLLAR), purpose="account")
        answer = await post(gateway, key)
        assert (answer.status_code, error(answer)["code"]) == (403, "scope_missing")

    async def test_a_key_for_other_models_is_refused(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        key = ledger.key(ledger.account(DOLLAR), allowed=["other"])
        answer = await post(gateway, key)
        assert (answer.status_code, error(answer)["code"]) == (403, "model_not_allowed")


async def test_both_ways_to_give_a_key_work(gateway: RunningGateway, ledger: GatewayLedger):
    key = ledger.key(ledger.account(DOLLAR))
    assert (await post(gateway, key)).status_code == 200
    assert (await post(gateway, None, x_api_key=key)).status_code == 200
    assert (await post(gateway, None, authorization=f"bearer {key}")).status_code == 200


@pytest.mark.usefixtures("untouched")
class TestBodies:
    @pytest.fixture
    def key(self, ledger: GatewayLedger) -> str:
        return ledger.key(ledger.account(DOLLAR))

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b'{"model": NaN}',
         b'{"model": "swift-1", "messages": ' + b"[" * 2000 + b"]" * 2000 + b"}",
         b'{"model": "swift-1", "messages": [{"content": "\\ud800"}]}'],
    )  # fmt: skip
    async def test_what_is_not_a_json_object_is_400(
        self, gateway: RunningGateway, key: str, body: bytes
    ):
        answer = await post(gateway, key, body)
        assert (answer.status_code, error(answer)["code"]) == (400, "invalid_json")

    @pytest.mark.requirement("PRC-7")
    @pytest.mark.parametrize(
        ("field", "value", "param"),
        [
            ("service_tier", "priority", "service_tier"),
            ("service_tier", "auto", "service_tier"),
            ("web_search_options", {}, "web_search_options"),
            ("modalities", ["text", "audio"], "modalities"),
            ("audio", {"voice": "a"}, "audio"),
            ("prediction", {"type": "file", "content": "x"}, "prediction.type"),
            ("tools", [{"type": "function"}, {"type": "web_search"}], "tools[1].type"),
            ("stream_options", {"other": True}, "stream_options.other"),
            ("best_of", 3, "best_of"),
            ("never_heard_of", 1, "never_heard_of"),
            ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url":
             {"url": "https://x.example/a.png"}}]}], "messages[0].content[0].image_url.url"),
            ("messages", [{"role": "user", "content": [{"type": "input_audio"}]}],
             "messages[0].content[0].type"),
            ("messages", [{"role": "user", "content": [{"type": "file"}]}],
             "messages[0].content[0].type"),
            ("messages", [{"role": "assistant", "audio": {"id": "a"}}], "messages[0].audio"),
            ("messages", [{"role": "user", "content": [{"type": "text", "text": "a",
             "cache_control": {}}]}], "messages[0].content[0].cache_control"),
        ],
    )  # fmt: skip
    async def test_a_field_that_escapes_the_bound_is_400_with_its_name(
        self, gateway: RunningGateway, key: str, field: str, value: object, param: str
    ):
        body = {"model": "swift-1", "messages": HELLO, field: value}
        found = error(answer := await post(gateway, key, orjson.dumps(body)))
        assert answer.status_code == 400
        assert (found["code"], found["param"]) == ("unsupported_parameter", param)
        assert found["type"] == "invalid_request_error"

    @pytest.mark.parametrize(
        ("field", "value"),
        [("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 1.5), ("max_tokens", "9"),
         ("max_tokens", True), ("max_completion_tokens", 2**70), ("n", 0), ("n", 129),
         ("stream", "yes"), ("messages", []), ("messages", "Hello"), ("messages", ["Hello"]),
         ("tools", {}), ("model", ""), ("model", None), ("model", ["swift-1"])],
    )  # fmt: skip
    async def test_a_value_that_makes_no_sense_is_400_with_its_name(
        self, gateway: RunningGateway, key: str, field: str, value: object
    ):
        import json

        body = {"model": "swift-1", "messages": HELLO, field: value}
        found = error(answer := await post(gateway, key, json.dumps(body).encode()))
        assert answer.status_code == 400
        assert found["code"] == "invalid_value"
        assert found["param"].startswith(field)

    async def test_an_unknown_model_is_404(self, gateway: RunningGateway, key: str):
        body = orjson.dumps({"model": "free-lunch", "messages": HELLO})
        found = error(answer := await post(gateway, key, body))
        assert answer.status_code == 404
        assert (found["code"], found["param"]) == ("model_not_found", "model")

    async def test_a_model_that_the_plan_does_not_sell_is_404(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        key = ledger.key(ledger.account(DOLLAR, unit="CREDIT", plan="studio"))
        assert (await post(gateway, key)).status_code == 404

    async def test_a_compressed_body_is_415(self, gateway: RunningGateway, key: str):
        import gzip

        answer = await post(gateway, key, gzip.compress(BODY), content_encoding="gzip")
        assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_encoding")

    async def test_a_body_over_the_limit_is_413(self, gateway: RunningGateway, key: str):
        limit = gateway.worker.gateway.catalogue.gateway.body_max
        answer = await post(gateway, key, b" " * (limit + 1))
        assert (answer.status_code, error(answer)["code"]) == (413, "request_too_large")

    async def test_a_body_of_unsaid_length_over_the_limit_is_413(
        self, gateway: RunningGateway, key: str
    ):
        limit = gateway.worker.gateway.catalogue.gateway.body_max

        async def pieces():
            for _ in range(limit // 65536 + 1):
                yield b" " * 65536

        answer = await gateway.http.post(
            "/v1/chat/completions", content=pieces(), headers={"authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 413

    async def test_an_unknown_path_is_404_in_the_openai_shape(self, gateway: RunningGateway):
        for method, path in (("GET", "/v1/chat/completions"), ("POST", "/v1/nothing")):
            answer = await gateway.http.request(method, path)
            assert (answer.status_code, error(answer)["code"]) == (404, "not_found")


async def test_of_two_equal_fields_the_bound_and_the_provider_see_the_same(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    body = BODY[:-1] + b', "max_tokens": 30000, "max_tokens": 3}'
    answer = await post(gateway, key, body)
    assert answer.headers["farebox-max-output-tokens"] == "3"
    assert provider.record.calls[0].body["max_tokens"] == 3
    assert answer.json()["usage"]["completion_tokens"] == 3


async def test_fields_that_cost_nothing_pass_as_they_are(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    key = ledger.key(ledger.account(DOLLAR))
    fields = {
        "temperature": 0.5,
        "stop": ["x"],
        "seed": 7,
        "user": "ü",
        "service_tier": "default",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "response_format": {"type": "json_object"},
        "max_tokens": 9,
        "web_search_options": None,
    }
    assert (await gateway.chat(key, **fields)).status_code == 200
    sent = provider.record.calls[0].body
    assert sent == {"model": "swift-1", "messages": HELLO} | fields


@pytest.mark.requirement("RSV-9")
class TestTooLittle:
    async def test_the_402_says_what_is_there_and_what_is_needed(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        key = ledger.key(ledger.account(1_250_000))
        async with gateway.sdk(key, max_retries=2) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(
                    model="swift-1", messages=HELLO, max_tokens=4000
                )
        found = caught.value
        assert found.status_code == 402
        assert found.code == found.type == "insufficient_prepaid_balance"
        required = ledger_needs(ledger)
        affordable = found.body["details"].pop("max_affordable_output_tokens")
        assert found.body["details"] == {
            "currency": "USD",
            "total": "0.00125",
            "reserved": "0.00",
            "available": "0.00125",
            "required": required,
            "limit_source": "balance",
            "top_up_url": f"{gateway.url}/billing/v1/packs",
        }
        text = orjson.loads(found.response.content)["error"]
        assert f'"required_usd":{required}' in found.response.text
        assert '"balance_usd":0.00125,"reserved_usd":0.00' in found.response.text
        assert text["message"] == (
            f"Insufficient prepaid balance. This request needs {required} USD; 0.00125 USD is "
            f"available. Top up: {gateway.url}/billing/v1/packs"
        )
        assert found.response.headers["x-should-retry"] == "false"
        assert ledger.tries == ["Reserve"]
        assert provider.record.calls == []
        assert ledger.events("CreditsReserved") == []
        assert 0 < affordable < 4000
        assert (await gateway.chat(key, max_tokens=affordable)).status_code == 200

    async def test_what_is_only_held_in_flight_may_be_tried_again(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        import asyncio

        key = ledger.key(ledger.account(10_000_000))
        gate = ledger.held["Settle"] = asyncio.Event()
        first = asyncio.create_task(gateway.chat(key, max_tokens=4000))
        await until(lambda: "Settle" in ledger.tries)
        answer = await gateway.chat(key, max_tokens=4000)
        assert answer.status_code == 402
        assert answer.json()["error"]["details"]["limit_source"] == "in_flight"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-should-retry"] == "true"
        gate.set()
        assert (await first).status_code == 200
        assert len(provider.record.calls) == 1

    async def test_credits_are_told_without_a_usd_number(
        self, gateway: RunningGateway, ledger: GatewayLedger
    ):
        key = ledger.key(ledger.account(0, unit="CREDIT", plan="studio"))
        answer = await gateway.http.post(
            "/v1/score-image", json={"image": "x"}, headers={"x-api-key": key}
        )
        found = answer.json()["error"]
        assert answer.status_code == 402
        assert found["details"]["required"] == "1"
        assert found["details"]["currency"] == "CREDIT"
        assert "balance_usd" not in found


def ledger_needs(ledger: GatewayLedger) -> str:
    from libs.events.money import decimal_text

    [reserve] = [command for command in ledger.sent if command.kind == "Reserve"]
    return decimal_text(reserve.data.at_least, "USD")


async def test_a_frozen_account_is_403(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    data = {"reason": "manual", "revoke_keys": False}
    ledger.run(command(c.FreezeAccount, account, data))
    answer = await post(gateway, key)
    assert (answer.status_code, error(answer)["code"]) == (403, "account_frozen")
    assert provider.record.calls == []


@pytest.mark.requirement("ACC-3")
async def test_a_key_revoked_after_it_was_looked_up_is_still_refused(
    gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
):
    import asyncio

    account = ledger.account(DOLLAR)
    key = ledger.key(account)
    gate = ledger.held["Reserve"] = asyncio.Event()
    request = asyncio.create_task(post(gateway, key))
    await until(lambda: "Reserve" in ledger.tries)
    [key_id] = ledger.rules.accounts[account].keys
    data = {"key_id": key_id, "reason_code": "lost"}
    ledger.run(command(c.RevokeKey, account, data, caller_id=f"revoke:{key_id}"))
    gate.set()
    assert (await request).status_code == 401
    assert provider.record.calls == []
