"""/admin/v1 and /billing/v1 as they run: own NATS users, the ledger, its reader, a paid request."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from libs.events.ids import new_id
from tests.support.gateway import script
from tests.support.house import (
    TOKEN,
    ask,
    chat,
    customer,
    look,
    open_house,
    operate,
    score,
    service_key,
    studio,
)


@pytest.fixture(scope="module")
async def house(database, streams, tmp_path_factory) -> AsyncIterator[Any]:
    async with open_house(database, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.requirement("ACC-8")
async def test_tags_are_on_the_receipt_its_table_and_the_usage_of_what_carries_them(house):
    who = await customer(house)
    for headers in ({"farebox-tags": "team=blue, run=7"}, {"farebox-tags": "team=red"}, {}):
        answer = await chat(house, who.inference, **headers)
        assert answer.status_code == 200, answer.text
    told = (await ask(house, who.owner, "/requests")).json()["requests"]
    assert [receipt["tags"] for receipt in told] == [
        {},
        {"team": "red"},
        {"run": "7", "team": "blue"},
    ]
    table = await ask(house, who.owner, "/requests?format=csv&tag=team:blue")
    assert '"{""run"":""7"",""team"":""blue""}"' in table.text

    async def use(query: str) -> list[tuple[int, str]]:
        rows = (await ask(house, who.owner, f"/usage?{query}")).json()["rows"]
        return [(row["requests"], row["charged"]) for row in rows]

    charge = told[0]["charge"]
    assert await use("tag=team:blue") == await use("tag=team:blue&tag=run:7") == [(1, charge)]
    assert await use("tag=team:blue&tag=run:8") == []
    assert [requests for requests, _ in await use("")] == [3]
    table = await look(house, f"/accounts/{who.account}/usage?tag=team:red&format=csv")
    assert len(table.text.splitlines()) == 2


@pytest.mark.requirement("PRC-8", "AUD-3")
async def test_a_paid_request_is_on_receipt_statement_and_balance(house):
    who = await customer(house)
    answer = await chat(house, who.inference)
    assert answer.status_code == 200, answer.text
    request_id = answer.headers["farebox-request-id"]
    usage = answer.json()["usage"]

    receipt = (await ask(house, who.inference, f"/requests/{request_id}")).json()
    cost = Decimal(receipt["upstream_cost"]["amount"])
    tokens = usage["prompt_tokens"], usage["completion_tokens"]
    assert cost == (tokens[0] * Decimal("0.25") + tokens[1] * Decimal("2.00")) / 1_000_000
    charge = Decimal(receipt["charge"])
    assert charge == -(-cost * Decimal("1.1") * 10**9 // 1) / 10**9
    assert Decimal(receipt["margin"]) == charge - cost
    assert (receipt["state"], receipt["route"]) == ("settled", "north/swift-1")

    balance = (await ask(house, who.inference, "/balance")).json()
    assert Decimal(balance["available"]) == Decimal("5.00") - charge
    assert (balance["reserved"], receipt["available_after"]) == ("0.00", balance["available"])

    statement = (await ask(house, who.owner, "/entries")).json()
    lines = statement["entries"]
    assert {line["type"] for line in lines} == {"adjustment", "reservation", "charge", "release"}
    assert statement["as_of_position"] >= lines[-1]["position"]
    assert lines[-1]["available"] == balance["available"]
    assert {line["request_id"] for line in lines} == {None, request_id}


async def test_the_statement_is_the_same_page_by_page(house):
    who = await customer(house)
    await chat(house, who.inference)
    whole = (await ask(house, who.owner, "/entries", params={"limit": 500})).json()
    assert whole["next"] is None
    pages, after = [], {}
    while True:
        page = (await ask(house, who.owner, "/entries", params={"limit": 1, **after})).json()
        pages += page["entries"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert pages == whole["entries"]
    assert len(pages) >= 3


@pytest.mark.requirement("ACC-2", "ACC-3", "ACC-5")
async def test_a_key_works_until_it_is_revoked_and_its_secret_is_shown_once(house):
    who = await customer(house)
    body = {"purpose": "inference", "allowed": ["swift-1"], "name": "laptop"}
    path = f"/accounts/{who.account}/keys"
    first = await operate(house, path, body, key="laptop")
    again = await operate(house, path, body, key="laptop")
    other = await operate(house, path, body | {"allowed": None}, key="laptop")
    assert [a.status_code for a in (first, again, other)] == [201, 200, 422]
    assert again.json() == first.json() | {"secret": None}
    issued = first.json()
    assert (await ask(house, issued["secret"], "/balance")).status_code == 200

    gone = await house.http.delete(
        f"{house.admin}{path}/{issued['key_id']}", headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert gone.status_code == 200
    calls = len(house.provider.record.calls)
    # The gateway may remember the key for a moment; the ledger refuses it at once.
    assert (await chat(house, issued["secret"])).status_code in {401, 403}
    assert len(house.provider.record.calls) == calls


async def test_opening_by_external_id_twice_is_one_account(house):
    body = {"plan": "payg", "external_id": "customer-7"}
    first, again = [(await operate(house, "/accounts", body)).json() for _ in range(2)]
    assert first == again
    taken = await operate(house, "/accounts", body | {"plan": "studio"})
    assert (taken.status_code, taken.json()["code"]) == (409, "external_id_taken")


@pytest.mark.requirement("ACC-6")
async def test_what_a_plan_gives_at_the_opening_is_given_once_however_often_it_is_opened(house):
    who = await studio(house, external_id="studio-7")
    assert who.opened["initial"] == "20"
    body = {"plan": "studio", "external_id": "studio-7"}
    again = [await operate(house, "/accounts", body, key=k) for k in ("a", "a", "b")]
    assert [(answer.status_code, answer.json()) for answer in again] == [(201, who.opened)] * 3
    same = [await operate(house, "/accounts", {"plan": "studio"}, key="named") for _ in range(2)]
    assert same[0].json() == same[1].json()

    balance = (await ask(house, who.owner, "/balance")).json()
    assert (balance["available"], balance["unit"]) == ("20", "CREDIT")
    lines = (await ask(house, who.owner, "/entries")).json()["entries"]
    assert [(line["type"], line["amount"], line["source"]) for line in lines] == [
        ("top_up", "20", "initial")
    ]


@pytest.mark.requirement("PRC-3", "PRC-8")
async def test_the_fees_of_an_account_are_those_of_the_calls_it_keeps(house):
    who = await studio(house)
    [line] = (await ask(house, who.inference, "/prices")).json()["prices"]
    fee = {"amount": "0.01", "currency": "USD"}
    assert line["fee"] == fee | {"schedule": "fidelity-1"}
    kept = [await score(house, who.inference) for _ in range(2)]
    script(house.provider, status=500)
    failed = await score(house, who.inference)
    assert [answer.status_code for answer in [*kept, failed]] == [200, 200, 500]
    receipts = [
        (
            await ask(house, who.inference, f"/requests/{answer.headers['farebox-request-id']}")
        ).json()
        for answer in [*kept, failed]
    ]
    assert [receipt["fee"] for receipt in receipts] == [fee, fee, None]
    assert [receipt["state"] for receipt in receipts] == ["settled", "settled", "released"]
    assert (await ask(house, who.inference, "/balance")).json()["available"] == "18"
    fees = house.database.sql(
        "select currency, sum(minor), count(*) from ledger.fee_entries"
        f" where account_id = '{who.account[5:]}' group by currency"
    )
    assert "USD|2|4" in fees


@pytest.mark.requirement("CRD-2")
async def test_credits_brought_in_from_elsewhere_are_a_top_up(house):
    who = await studio(house)
    body = {"amount": "7", "reason_code": "migration", "source": "import"}
    granted = await operate(house, f"/accounts/{who.account}/grants", body)
    assert granted.json()["available"] == "27"
    line = (await ask(house, who.owner, "/entries")).json()["entries"][-1]
    assert (line["type"], line["source"], line["reason_code"]) == ("top_up", "import", "migration")
    bought = await operate(house, f"/accounts/{who.account}/grants", body | {"source": "purchase"})
    assert bought.status_code == 422


async def test_a_grant_repeated_is_one_grant(house):
    who = await customer(house, "1.00")
    path, body = f"/accounts/{who.account}/grants", {"amount": "2.00", "reason_code": "goodwill"}
    answers = [await operate(house, path, body, key="once") for _ in range(3)]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    changed = await operate(house, path, body | {"amount": "3.00"}, key="once")
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    assert (await ask(house, who.owner, "/balance")).json()["available"] == "3.00"


async def test_a_frozen_account_cannot_spend_until_it_is_unfrozen(house):
    who = await customer(house)
    path = f"/accounts/{who.account}"
    assert (await operate(house, f"{path}/freeze", {"reason": "manual"})).status_code == 200
    assert (await chat(house, who.inference)).status_code == 403
    assert (await ask(house, who.inference, "/balance")).json()["status"] == "frozen"
    assert (await operate(house, f"{path}/unfreeze", {"reason": "manual"})).status_code == 200
    assert (await chat(house, who.inference)).status_code == 200


@pytest.mark.requirement("RCH-1")
async def test_auto_recharge_is_stored_with_its_consent(house):
    who = await customer(house)
    body = {
        "auto_recharge_enabled": True,
        "auto_recharge_amount_usd": "10.00",
        "recharge_threshold_usd": "2.00",
        "consent": {"text": "Charge my card.", "accepted_at": "2026-01-01T00:00:00Z"},
    }
    told = await ask(house, who.owner, "/auto-recharge", "PUT", json=body)
    assert told.status_code == 200, told.text
    assert told.json() == (await ask(house, who.owner, "/auto-recharge")).json()
    assert told.json()["auto_recharge_amount"] == "10.00"
    refused = await ask(house, who.inference, "/auto-recharge")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_without_payments_buying_is_503_and_the_rest_goes_on(house):
    who = await customer(house)
    for path in ("/packs", f"/top-ups/{new_id('topup')}"):
        answer = await ask(house, who.owner, path)
        assert (answer.status_code, answer.json()["code"]) == (503, "payments_unavailable")
    assert (await ask(house, who.owner, "/prices")).status_code == 200


async def test_receipts_of_other_accounts_are_404(house):
    who, other = await customer(house), await customer(house)
    request_id = (await chat(house, who.inference)).headers["farebox-request-id"]
    for secret in (other.owner, other.inference):
        answer = await ask(house, secret, f"/requests/{request_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_request")


@pytest.mark.requirement("ACC-4", "ACC-7")
async def test_an_owner_makes_replaces_and_ends_keys(house):
    who = await studio(house)
    body = {"purpose": "inference", "name": "laptop", "cap_day": "2", "allowed": ["score-image"]}
    made = (await ask(house, who.owner, "/keys", "POST", json=body)).json()
    assert (await score(house, made["secret"])).status_code == 200
    turn = f"/keys/{made['key_id']}/rotate"
    once = {"headers": {"authorization": f"Bearer {who.owner}", "idempotency-key": "turn"}}
    url = f"{house.gateway}/billing/v1{turn}"
    new = await house.http.post(url, json={"overlap_s": 600}, **once)
    again = await house.http.post(url, json={"overlap_s": 600}, **once)
    assert (new.status_code, again.status_code) == (201, 200), new.text
    assert again.json() == new.json() | {"secret": None}
    assert (new.json()["name"], new.json()["rotates"]) == ("laptop", made["key_id"])
    # Both work while they overlap, and spend of one cap.
    assert (await score(house, new.json()["secret"])).status_code == 200
    refused = await score(house, made["secret"])
    assert (refused.status_code, refused.json()["error"]["details"]["limit_source"]) == (
        402,
        "key_cap",
    )
    listed = {k["key_id"]: k for k in (await ask(house, who.owner, "/keys")).json()["keys"]}
    assert listed[made["key_id"]]["expires_at"] is not None
    assert listed[new.json()["key_id"]]["spent_day"] == "2"
    gone = await ask(house, who.owner, f"/keys/{new.json()['key_id']}", "DELETE")
    assert gone.json()["status"] == "revoked"
    assert (await score(house, new.json()["secret"])).status_code in {401, 403}


@pytest.mark.requirement("ACC-7")
async def test_a_service_key_reads_nothing(house):
    secret = await service_key(house, (await customer(house)).account)
    for path in ("/balance", "/prices", "/requests", "/entries", "/keys"):
        answer = await ask(house, secret, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path


@pytest.mark.requirement("ACC-7", "RSV-7")
async def test_only_operators_make_service_keys(house):
    """Calls under a reservation cost the operator, also when the customer's work is given back."""
    who = await customer(house)
    made = await ask(house, who.owner, "/keys", "POST", json={"purpose": "service"})
    assert (made.status_code, made.json()["code"]) == (422, "invalid_request")
    await service_key(house, who.account)
    keys = (await ask(house, who.owner, "/keys")).json()["keys"]
    [of_operator] = [key["key_id"] for key in keys if key["purpose"] == "service"]
    new = await ask(house, who.owner, f"/keys/{of_operator}/rotate", "POST", json={})
    assert (new.status_code, new.json()["code"]) == (403, "operator_only")
    gone = await ask(house, who.owner, f"/keys/{of_operator}", "DELETE")
    assert gone.json()["status"] == "revoked"


@pytest.mark.requirement("ACC-7")
async def test_an_inference_key_lists_its_own_requests_only(house):
    who = await customer(house)
    other = (await ask(house, who.owner, "/keys", "POST", json={"purpose": "inference"})).json()
    for secret in (who.inference, other["secret"]):
        assert (await chat(house, secret)).status_code == 200
    assert len((await ask(house, who.owner, "/requests")).json()["requests"]) == 2
    mine = (await ask(house, other["secret"], "/requests")).json()["requests"]
    assert [row["key_id"] for row in mine] == [other["key_id"]]
    refused = await ask(house, other["secret"], f"/requests?key_id={who.key_id}")
    assert refused.status_code == 404


@pytest.mark.requirement("ACC-8")
async def test_an_owners_limit_stops_spending_that_day(house):
    who = await studio(house)
    told = await ask(house, who.owner, "/limits", "PUT", json={"day": "1", "alerts": [80, 50, 50]})
    assert (told.json()["day"], told.json()["alerts"]) == ("1", [50, 80])
    assert (await score(house, who.inference)).status_code == 200
    refused = await score(house, who.inference)
    assert (refused.status_code, refused.json()["error"]["details"]["limit_source"]) == (
        402, "account_cap",
    )  # fmt: skip
    assert (await ask(house, who.owner, "/limits")).json()["spent_day"] == "1"
