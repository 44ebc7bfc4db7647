import pytest

from libs.events.ids import new_id, new_secret

ANY_KEY = [("GET", "/balance"), ("GET", "/prices"), ("GET", f"/requests/{new_id('req')}")]
ACCOUNT_KEY = [
    ("GET", "/entries"),
    ("GET", "/packs"),
    ("GET", f"/top-ups/{new_id('topup')}"),
    ("GET", "/auto-recharge"),
    ("POST", "/checkout"),
    ("PUT", "/auto-recharge"),
]
HELD = f"/reservations/{new_id('req')}"
SERVICE_KEY = [
    ("POST", "/reservations"),
    ("GET", "/reservations"),
    ("GET", HELD),
    *(("POST", f"{HELD}/{verb}") for verb in ("extend", "settle", "release")),
]
BODIES = {
    "/reservations": {"amount": "1.00"},
    f"{HELD}/extend": {"total": "1.00"},
    f"{HELD}/settle": {},
    "/checkout": {"pack": "usd-10", "currency": "USD"},
    "/auto-recharge": {"auto_recharge_enabled": False},
}


@pytest.mark.requirement("ACC-3", "ACC-7")
@pytest.mark.parametrize(("method", "path"), ANY_KEY + ACCOUNT_KEY + SERVICE_KEY)
@pytest.mark.parametrize("secret", ["", "sk-foreign", new_secret(1), new_secret(9)])
async def test_without_a_valid_key_nothing_is_told(api, method, path, secret):
    answer = await api.call(method, path, secret, content=b"not json")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert {name for name, _ in api.ledger.asked} <= {"key_by_hash"}
    assert api.payments.asked == api.ledger.sent == []


@pytest.mark.requirement("ACC-7")
@pytest.mark.parametrize(("method", "path"), ACCOUNT_KEY + SERVICE_KEY)
async def test_an_inference_key_is_told_that_it_lacks_the_scope(api, method, path):
    customer = await api.customer()
    sent = len(api.ledger.sent)
    named = {"idempotency-key": "once"}
    body = BODIES.get(path)
    answer = await api.call(method, path, customer.inference, json=body, headers=named)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert answer.json()["purpose"] == "inference"
    assert len(api.ledger.sent) == sent
    assert api.payments.asked == []


@pytest.mark.requirement("ACC-7")
@pytest.mark.parametrize("purpose", ["inference", "account"])
async def test_both_purposes_read_balance_and_prices(api, purpose):
    customer = await api.customer()
    for path in ("/balance", "/prices"):
        answer = await api.get(path, getattr(customer, purpose))
        assert answer.status_code == 200, answer.text


@pytest.mark.requirement("RSV-8")
async def test_a_ledger_that_is_away_is_503_with_retry_after(api):
    customer = await api.customer()
    api.ledger.away = True
    for path in ("/balance", "/entries", "/auto-recharge"):
        answer = await api.get(path, customer.account)
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_revoked_key_is_refused(api):
    customer = await api.customer()
    account = api.ledger.rules.accounts[customer.account_id]
    key = account.keys[customer.inference_key]._replace(revoked=True)
    api.ledger.rules.accounts[customer.account_id] = account._replace(
        keys={**account.keys, customer.inference_key: key}
    )
    assert (await api.get("/balance", customer.inference)).status_code == 401


async def test_a_frozen_account_still_reads_what_it_has(api):
    customer = await api.customer(amount=10**9)
    await api.freeze(customer)
    answer = await api.get("/balance", customer.inference)
    assert (answer.json()["status"], answer.json()["available"]) == ("frozen", "1.00")


async def test_the_description_needs_no_key(api):
    answer = await api.http.get("/billing/v1/openapi.json")
    assert answer.status_code == 200
    assert len(answer.json()["paths"]) == 23
