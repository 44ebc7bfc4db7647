"""Services hold, extend, settle and release over HTTP, with keys of their own (RSV-7)."""

import pytest

from libs.events.ids import new_id

pytestmark = pytest.mark.requirement("RSV-7")
DOLLAR = 10**9


async def post(api, secret, path, body, key="once"):
    headers = {"idempotency-key": key}
    return await api.call("POST", f"/reservations{path}", secret, json=body, headers=headers)


async def made(api, customer, key="once", **body):
    answer = await post(api, customer.service, "", {"amount": "2.00"} | body, key)
    assert answer.status_code == 201, answer.text
    return answer.json()


def balance(api, customer):
    account = api.ledger.rules.accounts[customer.account_id]
    return account.available, account.reserved


async def test_a_repeat_gets_the_first_answer_and_holds_once(api):
    customer = await api.customer(amount=5 * DOLLAR)
    first = await made(api, customer)
    assert (first["amount"], first["unit"], first["available"]) == ("2.00", "USD", "3.00")
    assert await made(api, customer) == first
    assert balance(api, customer) == (3 * DOLLAR, 2 * DOLLAR)
    other = await post(api, customer.service, "", {"amount": "2.50"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await made(api, customer, key="twice"))["reservation_id"] != first["reservation_id"]


async def test_the_same_idempotency_key_of_two_accounts_names_two_reservations(api):
    one, two = await api.customer(amount=5 * DOLLAR), await api.customer(amount=5 * DOLLAR)
    ids = {(await made(api, customer))["reservation_id"] for customer in (one, two)}
    assert len(ids) == 2


async def test_it_is_settled_once_and_the_rest_comes_back(api):
    customer = await api.customer(amount=5 * DOLLAR)
    path = f"/{(await made(api, customer))['reservation_id']}"
    extended = await post(api, customer.service, f"{path}/extend", {"total": "3.00"})
    assert (extended.json()["amount"], extended.json()["available"]) == ("3.00", "2.00")
    for _ in range(2):
        answer = await post(api, customer.service, f"{path}/settle", {"charge": "1.25"})
        assert answer.status_code == 200, answer.text
        assert {k: answer.json()[k] for k in ("charge", "released", "available")} == {
            "charge": "1.25", "released": "1.75", "available": "3.75",
        }  # fmt: skip
    for body, verb in (({"charge": "1.00"}, "settle"), ({}, "release")):
        answer = await post(api, customer.service, f"{path}/{verb}", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_settled")
    told = (await api.get(f"/reservations{path}", customer.account)).json()
    assert (told["state"], told["reserved"], told["charge"]) == ("settled", "3.00", "1.25")


async def test_an_operation_is_held_at_its_price_and_released_whole(api):
    customer = await api.customer(unit="CREDIT", plan="studio", amount=2 * DOLLAR)
    held = (await post(api, customer.service, "", {"operation": "score-image"})).json()
    assert (held["amount"], held["available"]) == ("1", "1")
    path = f"/{held['reservation_id']}"
    assert (await post(api, customer.service, f"{path}/release", {})).json()["available"] == "2"
    again = (await post(api, customer.service, "", {"operation": "score-image"}, "2")).json()
    path = f"/{again['reservation_id']}"
    assert (await post(api, customer.service, f"{path}/settle", {})).json()["charge"] == "1"
    answer = await post(api, customer.service, "", {"operation": "unknown"}, "3")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_operation")


async def test_too_little_is_402_with_the_numbers(api):
    customer = await api.customer(amount=DOLLAR)
    answer = await post(api, customer.service, "", {"amount": "2.00"})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (402, "insufficient_balance")
    assert (body["required"], body["available"]) == ("2.00", "1.00")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_nobody_touches_what_another_key_opened(api):
    mine, other = await api.customer(amount=5 * DOLLAR), await api.customer(amount=5 * DOLLAR)
    res = (await made(api, mine))["reservation_id"]
    for secret in (other.service, other.account):
        answer = await api.get(f"/reservations/{res}", secret)
        assert answer.status_code == 404
    for verb, body in (("settle", {"charge": "1.00"}), ("release", {}), ("extend", {"total": "3"})):
        answer = await post(api, other.service, f"/{res}/{verb}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_reservation")
    assert balance(api, mine) == (3 * DOLLAR, 2 * DOLLAR)
    listed = (await api.get("/reservations", other.service)).json()
    assert (listed["reservations"], listed["next"]) == ([], None)


async def test_open_ones_are_listed_page_by_page(api):
    customer = await api.customer(amount=5 * DOLLAR)
    ids = {
        (await made(api, customer, key=str(n), amount="1.00"))["reservation_id"] for n in range(3)
    }
    first = (await api.get("/reservations", customer.service, limit=2)).json()
    rest = (await api.get("/reservations", customer.service, limit=2, after=first["next"])).json()
    assert rest["next"] is None
    assert {row["reservation_id"] for row in first["reservations"] + rest["reservations"]} == ids


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.operation"),
        ({"operation": "score-image", "amount": "1.00"}, "body.amount"),
        ({"amount": "1.00", "at_least": "2.00"}, "body.at_least"),
        ({"amount": "-1"}, "body.amount"),
        ({"amount": "1.00", "hold_s": 0}, "body.hold_s"),
        ({"amount": "1.00", "tags": {"Bad Key": "x"}}, "body.tags"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_held(api, body, field):
    customer = await api.customer(amount=5 * DOLLAR)
    answer = await post(api, customer.service, "", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert balance(api, customer) == (5 * DOLLAR, 0)


async def test_without_an_idempotency_key_nothing_is_held(api):
    customer = await api.customer(amount=5 * DOLLAR)
    answer = await api.call("POST", "/reservations", customer.service, json={"amount": "1.00"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
    unknown = await api.get(f"/reservations/{new_id('req')}", customer.service)
    assert unknown.status_code == 404
