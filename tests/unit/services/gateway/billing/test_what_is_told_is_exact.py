import pytest

from libs.events.ids import new_id

RES, KEY = new_id("req"), new_id("key")


def line(position, **fields):
    return {
        "position": position, "line": 0, "occurred_at": "2026-11-20T12:00:00.000000Z",
        "type": "top_up", "amount": "10000000000", "available": "10000000000", "reserved": "0",
        "unit": "USD", "res": None, "grant_no": 1, "key_id": None, "operation": None,
        "source": "purchase", "reason_code": None, **fields,
    }  # fmt: skip


def receipt(account, **fields):
    return {
        "reservation_id": RES, "account_id": account, "key_id": KEY, "operation": "swift-1",
        "surface": "openai.chat", "model": "swift-1", "status": 200, "state": "settled",
        "reserved": "11448360", "charge": "1100000", "margin": "100000", "cost_pico": "1000000001",
        "released": "10348360", "refunded": "0", "loss": "0", "loss_kind": None, "basis": "actual",
        "usage": {"prompt_tokens": 1200, "completion_tokens": 350}, "route": "north/swift-1",
        "route_reason": "first", "attempts": [], "finish": "stop", "fee": None, "tags": {},
        "catalogue": "c" * 64, "opened_at": "2026-11-20T12:00:00.000000Z",
        "closed_at": "2026-11-20T12:00:01.000000Z", "opened_position": 5, "closed_position": 6,
        "available_after": "9998900000", **fields,
    }  # fmt: skip


@pytest.mark.requirement("ACC-1", "CRD-1")
@pytest.mark.parametrize(
    ("unit", "plan", "amount", "text"),
    [
        ("USD", "payg", 1, "0.000000001"),
        ("USD", "payg", 10**9, "1.00"),
        ("CREDIT", "studio", 7 * 10**9, "7"),
    ],
)
async def test_the_balance_is_decimal_text_of_the_unit(api, unit, plan, amount, text):
    customer = await api.customer(unit, plan, amount)
    told = (await api.get("/balance", customer.inference)).json()
    assert told["account_id"] == customer.account_id
    assert (told["unit"], told["available"], told["total"]) == (unit, text, text)
    assert told["as_of_position"] == len(api.ledger.rules.events)


async def test_the_balance_waits_for_a_position(api):
    customer = await api.customer()
    await api.get("/balance", customer.inference, min_position=3)
    assert api.ledger.asked[-1][1] == {"account_id": customer.account_id, "min_position": 3}
    for nowhere in (-1, 2**53, 2**63, 10**30):
        answer = await api.get("/balance", customer.inference, min_position=nowhere)
        assert answer.status_code == 422


@pytest.mark.requirement("AUD-3")
async def test_the_statement_is_told_line_by_line_with_its_position(api):
    customer = await api.customer()
    held = line(9, type="reservation", amount="-11448360", res=RES, key_id=KEY, source=None)
    api.ledger.told["entries"] = {"entries": [line(3), held], "next": "9:0"}
    answer = await api.get("/entries", customer.account, after="2:1", limit=2)
    told = answer.json()
    assert (told["next"], told["as_of_position"]) == ("9:0", 7)
    assert [(row["type"], row["amount"]) for row in told["entries"]] == [
        ("top_up", "10.00"),
        ("reservation", "-0.01144836"),
    ]
    assert told["entries"][1]["request_id"] == RES
    assert api.ledger.asked[-1] == (
        "entries", {"account_id": customer.account_id, "after": "2:1", "limit": 2},
    )  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": "x"},
        {"after": "x"},
        {"after": "1"},
        {"after": "1:99999"},
    ],  # fmt: skip
)
async def test_a_page_has_bounds(api, params):
    customer = await api.customer()
    answer = await api.get("/entries", customer.account, **params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.requirement("PRC-8")
async def test_a_receipt_has_cost_charge_margin_route_and_balance(api):
    customer = await api.customer()
    api.ledger.told["request"] = receipt(customer.account_id)
    told = (await api.get(f"/requests/{RES}", customer.account)).json()
    assert told["request_id"] == RES
    assert told["http_status"] == 200
    assert told["upstream_cost"] == {"amount": "0.001000000001", "currency": "USD"}
    assert (told["charge"], told["margin"], told["available_after"]) == (
        "0.0011",
        "0.0001",
        "9.9989",
    )
    assert (told["route"], told["route_reason"]) == ("north/swift-1", "first")
    assert told["usage"]["completion_tokens"] == 350
    assert told["as_of_position"] == 7


@pytest.mark.requirement("PRC-8")
async def test_a_receipt_of_an_open_request_has_nulls(api):
    customer = await api.customer()
    nothing = dict.fromkeys(
        ["charge", "margin", "cost_pico", "released", "usage", "closed_at", "available_after"]
    )
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    open_ = receipt(customer.account_id, state="open", fee=fee, **nothing)
    api.ledger.told["request"] = open_
    told = (await api.get(f"/requests/{RES}", customer.account)).json()
    assert (told["charge"], told["upstream_cost"], told["state"]) == (None, None, "open")
    assert told["fee"] == {"amount": "0.01", "currency": "USD"}


@pytest.mark.requirement("ACC-7")
async def test_a_receipt_is_told_to_its_own_key_and_to_the_accounts_key(api):
    customer, other = await api.customer(), await api.customer()
    api.ledger.told["request"] = receipt(customer.account_id, key_id=customer.inference_key)
    assert (await api.get(f"/requests/{RES}", customer.inference)).status_code == 200
    api.ledger.told["request"] = receipt(customer.account_id, key_id=new_id("key"))
    assert (await api.get(f"/requests/{RES}", customer.account)).status_code == 200
    for secret in (customer.inference, other.account, other.inference):
        answer = await api.get(f"/requests/{RES}", secret)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_request")


@pytest.mark.parametrize("request_id", ["req_1", "x", new_id("acct"), "%00"])
async def test_what_is_no_request_id_is_404(api, request_id):
    customer = await api.customer()
    answer = await api.get(f"/requests/{request_id}", customer.account)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_request")
    assert {name for name, _ in api.ledger.asked} == {"key_by_hash"}


@pytest.mark.requirement("PRC-9")
async def test_prices_are_those_of_the_plan_in_its_unit(api):
    customer = await api.customer("CREDIT", "studio")
    told = (await api.get("/prices", customer.inference)).json()
    assert (told["unit"], told["catalogue"]) == ("CREDIT", api.catalogue.hash)
    assert [(row["name"], row["price"]) for row in told["prices"]] == [("score-image", "1")]
    payg = await api.customer()
    told = (await api.get("/prices", payg.inference)).json()["prices"]
    assert [(row["name"], row["output"], row["per_tokens"]) for row in told] == [
        ("swift-1", "2.20", 1_000_000)
    ]


async def test_a_plan_that_is_no_longer_sold_is_told(api):
    customer = await api.customer(plan="gone")
    answer = await api.get("/prices", customer.inference)
    assert (answer.status_code, answer.json()["code"]) == (409, "unknown_plan")
