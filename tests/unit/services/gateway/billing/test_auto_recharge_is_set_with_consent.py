import hashlib

import pytest

from libs.events.commands import ConfigureRecharge

CONSENT = {"text": "Charge my card.", "accepted_at": "2026-11-20T11:59:00+00:00"}
ON = {
    "auto_recharge_enabled": True,
    "auto_recharge_amount": "10.00",
    "recharge_threshold": "2.50",
    "consent": CONSENT,
}


async def put(api, customer, body, **headers):
    return await api.call("PUT", "/auto-recharge", customer.account, json=body, headers=headers)


@pytest.mark.requirement("RCH-1")
async def test_it_is_off_until_it_is_set(api):
    customer = await api.customer()
    told = (await api.get("/auto-recharge", customer.account)).json()
    assert told["auto_recharge_enabled"] is False
    assert told["auto_recharge_amount"] is told["recharge_threshold_usd"] is None
    assert told["consent_text"]


@pytest.mark.requirement("RCH-1")
async def test_amount_threshold_and_consent_reach_the_ledger_exactly(api):
    customer = await api.customer()
    answer = await put(api, customer, ON)
    assert answer.status_code == 200
    told = answer.json()
    assert told["auto_recharge_enabled"] is True
    assert told["auto_recharge_amount"] == told["auto_recharge_amount_usd"] == "10.00"
    assert told["recharge_threshold"] == told["recharge_threshold_usd"] == "2.50"
    assert (await api.get("/auto-recharge", customer.account)).json() == told
    command = api.ledger.sent[-1]
    assert isinstance(command, ConfigureRecharge)
    assert (command.data.amount, command.data.threshold) == (10 * 10**9, 2_500_000_000)
    assert command.data.consent.text_hash == hashlib.sha256(b"Charge my card.").hexdigest()
    assert command.data.consent.at.isoformat() == "2026-11-20T11:59:00+00:00"


@pytest.mark.requirement("RCH-1")
async def test_caps_bound_what_is_charged_and_are_shown(api):
    customer = await api.customer()
    caps = {"charge": "20.00", "day": "50.00", "month": None}
    told = (await put(api, customer, ON | {"caps": caps})).json()
    assert told["caps"] == caps
    data = api.ledger.sent[-1].data
    assert (data.cap_charge, data.cap_day, data.cap_month) == (20 * 10**9, 50 * 10**9, None)
    without = (await put(api, customer, ON)).json()
    assert without["caps"] == {"charge": None, "day": None, "month": None}
    refused = await put(api, customer, ON | {"caps": {"day": "0"}})
    assert refused.json()["errors"][0]["field"] == "body.caps.day"


@pytest.mark.requirement("RCH-1")
async def test_usd_accounts_may_use_the_usd_names(api):
    customer = await api.customer()
    body = {
        "auto_recharge_enabled": True,
        "auto_recharge_amount_usd": "20.00",
        "recharge_threshold_usd": "5.00",
        "consent": CONSENT,
    }
    told = (await put(api, customer, body)).json()
    assert (told["auto_recharge_amount"], told["recharge_threshold"]) == ("20.00", "5.00")
    both = await put(api, customer, ON | {"auto_recharge_amount_usd": "10.01"})
    assert (both.status_code, both.json()["errors"][0]["field"]) == (
        422,
        "body.auto_recharge_amount",
    )


@pytest.mark.requirement("RCH-1")
async def test_credit_accounts_buy_the_plans_pack_and_have_no_usd_names(api):
    customer = await api.customer("CREDIT", "studio")
    body = ON | {"auto_recharge_amount": "500", "recharge_threshold": "100"}
    told = (await put(api, customer, body)).json()
    assert (told["pack"], told["auto_recharge_amount"], told["unit"]) == (
        "credits-500",
        "500",
        "CREDIT",
    )
    assert not [name for name in told if name.endswith("_usd")]
    refused = await put(api, customer, body | {"recharge_threshold_usd": "1.00"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unit_mismatch")


@pytest.mark.requirement("RCH-1")
async def test_turning_it_on_needs_consent_and_amounts(api):
    customer = await api.customer()
    sent = len(api.ledger.sent)
    refused = await put(api, customer, ON | {"consent": None})
    assert (refused.status_code, refused.json()["code"]) == (422, "consent_required")
    assert refused.json()["consent_text"]
    for name in ("auto_recharge_amount", "recharge_threshold"):
        refused = await put(api, customer, ON | {name: None})
        assert refused.json()["errors"][0]["field"] == f"body.{name}"
    assert len(api.ledger.sent) == sent


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"auto_recharge_amount": 10}, "body.auto_recharge_amount"),
        ({"auto_recharge_amount": "0.00"}, "body.auto_recharge_amount"),
        ({"auto_recharge_amount": "10.001"}, "body.auto_recharge_amount"),
        ({"auto_recharge_amount": "-1.00"}, "body.auto_recharge_amount"),
        ({"recharge_threshold": "many"}, "body.recharge_threshold"),
        ({"basis": "some"}, "body.basis"),
        ({"consent": {"text": "", "accepted_at": CONSENT["accepted_at"]}}, "body.consent.text"),
        ({"consent": {"text": "x"}}, "body.consent.accepted_at"),
        ({"consent": CONSENT | {"accepted_at": "2026-11-20"}}, "body.consent.accepted_at"),
        (
            {"consent": CONSENT | {"accepted_at": "2026-11-20T12:06:00Z"}},
            "body.consent.accepted_at",
        ),
        ({"cap_day": "1.00"}, "body.cap_day"),
    ],
)
async def test_a_wrong_setting_is_refused_by_its_field(api, change, field):
    customer = await api.customer()
    sent = len(api.ledger.sent)
    answer = await put(api, customer, ON | change)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert len(api.ledger.sent) == sent


async def test_turning_it_off_needs_nothing(api):
    customer = await api.customer()
    await put(api, customer, ON)
    told = (await put(api, customer, {"auto_recharge_enabled": False})).json()
    assert told["auto_recharge_enabled"] is False
    assert not api.ledger.rules.accounts[customer.account_id].recharge.enabled


async def test_a_repeat_with_the_same_key_is_one_command(api):
    customer = await api.customer()
    for _ in range(2):
        assert (await put(api, customer, ON, **{"Idempotency-Key": "k"})).status_code == 200
    events = [event for event in api.ledger.rules.events if event.type == "RechargeConfigured"]
    assert len(events) == 1
    other = ON | {"recharge_threshold": "3.00"}
    refused = await put(api, customer, other, **{"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_plan_without_a_recharge_pack_cannot_turn_it_on(api):
    customer = await api.customer("CREDIT", "gone")
    refused = await put(
        api, customer, ON | {"auto_recharge_amount": "5", "recharge_threshold": "1"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "unknown_plan")
    assert (await put(api, customer, {"auto_recharge_enabled": False})).status_code == 200


@pytest.mark.requirement("RCH-1")
async def test_an_open_attempt_is_shown(api):
    customer = await api.customer()
    await put(api, customer, ON)
    told = api.ledger._recharge(api.ledger.rules.accounts[customer.account_id])
    attempt = {
        "attempt_id": "rchg_" + "0" * 32, "credits": "10000000000",
        "price": {"currency": "USD", "minor": 1000}, "started_at": "2026-11-20T12:00:00.000000Z",
    }  # fmt: skip
    api.ledger.told["recharge"] = told | {"open_attempt": attempt}
    shown = (await api.get("/auto-recharge", customer.account)).json()["open_attempt"]
    assert shown == {
        "attempt_id": attempt["attempt_id"], "credits": "10.00", "started_at": attempt["started_at"],
    }  # fmt: skip
