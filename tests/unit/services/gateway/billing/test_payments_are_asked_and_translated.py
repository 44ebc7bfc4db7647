import nats.errors
import pytest

from libs.events.ids import new_id

TOP_UP = new_id("topup")
PACKS = [
    {
        "id": "usd-10",
        "unit": "USD",
        "gives": "10.00",
        "prices": {"USD": "10.00"},
        "shelf_months": 12,
    }
]
ORDER = {
    "top_up_id": TOP_UP, "state": "credited", "pack": "usd-10", "unit": "USD", "gives": "10.00",
    "price": "10.00", "currency": "USD", "created_at": "2026-11-20T12:00:00.000000Z",
    "checkout_url": None, "payment": "pi_1", "grant_id": new_id("grant"),
}  # fmt: skip


def ok(data):
    return {"ok": True, "data": data}


@pytest.mark.requirement("PAY-1")
async def test_packs_are_those_of_the_account(api):
    customer = await api.customer()
    api.payments.answers["packs"] = ok({"packs": PACKS})
    answer = await api.get("/packs", customer.account)
    assert answer.json() == {"packs": PACKS}
    assert api.payments.asked == [
        ("packs", {"account_id": customer.account_id, "unit": "USD", "plan": "payg"})
    ]


@pytest.mark.requirement("PAY-1")
@pytest.mark.parametrize("key", [None, "order-1"])
async def test_checkout_orders_for_the_keys_own_account(api, key):
    customer = await api.customer()
    page = {"top_up_id": TOP_UP, "checkout_url": "https://pay.example/1", "state": "open"}
    api.payments.answers["create_checkout"] = ok(page)
    answer = await api.call(
        "POST",
        "/checkout",
        customer.account,
        json={"pack": "usd-10", "currency": "USD"},
        headers={} if key is None else {"Idempotency-Key": key},
    )
    assert (answer.status_code, answer.json()) == (201, page)
    (asked,) = api.payments.asked
    assert asked[1] == {
        "account_id": customer.account_id, "unit": "USD", "plan": "payg", "pack": "usd-10",
        "currency": "USD", "key": key,
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pack": "usd-10"},
        {"pack": "usd-10", "currency": "usd"},
        {"pack": 1, "currency": "USD"},
        {"pack": "usd-10", "currency": "USD", "account_id": "acct_x"},
        [],
    ],
)
async def test_a_wrong_order_does_not_reach_payments(api, body):
    customer = await api.customer()
    answer = await api.call("POST", "/checkout", customer.account, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert api.payments.asked == []


async def test_a_top_up_is_followed_by_its_id(api):
    customer = await api.customer()
    api.payments.answers["order"] = ok(ORDER)
    answer = await api.get(f"/top-ups/{TOP_UP}", customer.account)
    assert answer.json() == {name: ORDER[name] for name in ORDER if name != "payment"}
    assert api.payments.asked == [
        ("order", {"account_id": customer.account_id, "top_up_id": TOP_UP})
    ]
    assert (await api.get("/top-ups/topup_1", customer.account)).status_code == 404


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("unknown_order", 404, "unknown_order"),
        ("unknown_pack", 422, "unknown_pack"),
        ("unknown_currency", 422, "unknown_currency"),
        ("key_reused", 422, "key_reused"),
        ("stripe_refused", 502, "payments_stripe_refused"),
        ("unavailable", 503, "payments_unavailable"),
        ("internal", 502, "payments_internal"),
    ],
)
async def test_a_refusal_of_payments_keeps_its_code(api, code, status, told):
    customer = await api.customer()
    api.payments.answers["packs"] = {"ok": False, "code": code, "message": "because"}
    answer = await api.get("/packs", customer.account)
    assert (answer.status_code, answer.json()["code"]) == (status, told)
    assert answer.json()["detail"] == "because"
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    "failure",
    [
        nats.errors.NoRespondersError(),
        nats.errors.TimeoutError(),
        nats.errors.ConnectionClosedError(),
        TimeoutError(),
    ],
)
async def test_payments_that_are_away_are_503(api, failure):
    customer = await api.customer()
    api.payments.failure = failure
    answer = await api.get("/packs", customer.account)
    assert (answer.status_code, answer.json()["code"]) == (503, "payments_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_nothing_is_sent_while_disconnected(api):
    customer = await api.customer()
    api.payments.is_connected = False
    assert (await api.get("/packs", customer.account)).status_code == 503
    assert api.payments.asked == []
