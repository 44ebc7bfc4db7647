import pytest

BODY = {"amount": "5.25", "reason_code": "goodwill", "note": "for Ada"}


@pytest.mark.requirement("CRD-2")
async def test_a_grant_is_exact_has_a_reason_and_is_done_once(api):
    account = await api.open()
    first = await api.post(f"/accounts/{account}/grants", BODY, key="g")
    again = await api.post(f"/accounts/{account}/grants", BODY, key="g")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert (first.json()["amount"], first.json()["available"]) == ("5.25", "5.25")
    event = api.ledger.rules.events[-1]
    assert (event.type, event.data["source"], event.data["amount"]) == (
        "CreditsGranted", "admin", "5250000000",
    )  # fmt: skip
    assert event.data["reason_code"] == "goodwill"
    assert "Ada" not in str(event.data)


async def test_the_same_key_with_another_amount_is_refused(api):
    account = await api.open()
    await api.post(f"/accounts/{account}/grants", BODY, key="g")
    answer = await api.post(f"/accounts/{account}/grants", BODY | {"amount": "5.26"}, key="g")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert api.ledger.rules.accounts[account].available == 5_250_000_000


@pytest.mark.requirement("CRD-1")
@pytest.mark.parametrize(
    "amount",
    [
        5,
        5.25,
        "-1.00",
        "0",
        "0.00",
        "1e3",
        "1.0000000001",
        " 1",
        "",
        "9" * 11,
        "5,25",
        None,
        "4611686019",
    ],
)
async def test_an_amount_is_a_decimal_text_above_zero(api, amount):
    account = await api.open()
    answer = await api.post(f"/accounts/{account}/grants", BODY | {"amount": amount})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "body.amount"
    assert api.ledger.rules.accounts[account].available == 0


async def test_credits_are_granted_whole(api):
    account = await api.open("studio")
    refused = await api.post(f"/accounts/{account}/grants", BODY | {"amount": "1.5"})
    assert refused.json()["errors"][0]["field"] == "body.amount"
    granted = await api.post(f"/accounts/{account}/grants", BODY | {"amount": "7"})
    assert (granted.json()["amount"], granted.json()["available"]) == ("7", "7")


async def test_a_decline_keeps_its_code_and_numbers(api):
    account = await api.open()
    for _ in range(2):
        await api.post(f"/accounts/{account}/grants", BODY | {"amount": "4611686018"})
    answer = await api.post(f"/accounts/{account}/grants", BODY | {"amount": "4611686018"})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_integral")
    assert (answer.json()["parameter"], answer.json()["total"]) == ("amount", "9223372036.00")


async def test_a_grant_needs_a_reason(api):
    account = await api.open()
    answer = await api.post(f"/accounts/{account}/grants", {"amount": "1.00"})
    assert answer.json()["errors"] == [{"field": "body.reason_code", "message": "Field required"}]


async def test_a_grant_that_would_be_over_already_is_refused(api):
    account = await api.open()
    body = BODY | {"expires_at": "2026-11-20T11:59:59Z"}
    answer = await api.post(f"/accounts/{account}/grants", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "grant_expired")
    assert answer.json()["until"] == "2026-11-20T11:59:59.000000Z"


async def test_freezing_and_lifting_by_hand_can_be_done_again(api):
    account = await api.open()
    for _ in range(2):
        frozen = await api.post(f"/accounts/{account}/freeze", {"reason": "manual", "note": "x"})
        assert frozen.status_code == 200
        shown = (await api.http.get(f"/admin/v1/accounts/{account}")).json()
        assert (shown["status"], shown["freezes"]) == ("frozen", ["manual"])
        lifted = await api.post(f"/accounts/{account}/unfreeze", {"reason": "manual"})
        assert lifted.status_code == 200
        assert api.ledger.rules.accounts[account].status == "open"


async def test_each_reason_is_lifted_by_itself(api):
    account = await api.open()
    for reason in ("manual", "dispute:dp_1"):
        await api.post(f"/accounts/{account}/freeze", {"reason": reason})
    assert api.ledger.sent[-1].caller_id == "freeze:dispute:dp_1"
    await api.post(f"/accounts/{account}/unfreeze", {"reason": "manual"})
    assert api.ledger.rules.accounts[account].freezes == ("dispute:dp_1",)
    answer = await api.post(f"/accounts/{account}/unfreeze", {"reason": "manual"})
    assert (answer.status_code, answer.json()["code"]) == (409, "unknown_cause")


async def test_a_freeze_may_end_the_keys(api):
    account = await api.open()
    await api.post(f"/accounts/{account}/keys", {"purpose": "inference"})
    await api.post(f"/accounts/{account}/freeze", {"reason": "manual", "revoke_keys": True})
    assert all(key.revoked for key in api.ledger.rules.accounts[account].keys.values())


@pytest.mark.parametrize("reason", ["", "anger", "dispute:", "dispute:a b", None])
async def test_a_reason_has_a_form(api, reason):
    account = await api.open()
    answer = await api.post(f"/accounts/{account}/freeze", {"reason": reason})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
