"""Both JSON APIs against their own descriptions: nothing undeclared, nothing of another account."""

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from libs.events.ids import new_id
from tests.support.house import (
    TOKEN,
    ask,
    chat,
    customer,
    open_house,
    operate,
    score,
    service_key,
    studio,
)
from tests.support.nats import connected


class PaymentsDesk:
    """Answers as payments would, of the account that is asked for, and remembers who was."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, message: Any) -> None:
        question = json.loads(message.data)
        self.asked.append(question["account_id"])
        name = message.subject.rpartition(".")[2]
        order = {
            "top_up_id": "topup_" + question["account_id"][5:], "state": "open", "pack": "usd-10",
            "unit": "USD", "gives": "10.00", "price": "10.00", "currency": "USD",
            "created_at": "2026-11-20T12:00:00.000000Z", "checkout_url": None, "grant_id": None,
        }  # fmt: skip
        told = {
            "packs": {"packs": []},
            "orders": {"top_ups": [order], "next": None},
            "create_checkout": {
                "top_up_id": order["top_up_id"],
                "checkout_url": None,
                "state": "open",
            },
        }
        answer: dict[str, Any] = {"ok": True, "data": told.get(name, order)}
        if name == "order" and question["top_up_id"] != order["top_up_id"]:
            answer = {"ok": False, "code": "unknown_order", "message": "no such order"}
        await message.respond(json.dumps(answer).encode())


@pytest.fixture(scope="module")
async def house(database, streams, stack, tmp_path_factory) -> AsyncIterator[Any]:
    async with (
        open_house(database, tmp_path_factory.mktemp("house")) as opened,
        connected(stack, "payments") as payments,
    ):
        opened.desk = PaymentsDesk()
        await payments.subscribe("payments.requests.*", cb=opened.desk.answer)
        await payments.flush()
        opened.mine, opened.other = await lived(opened), await customer(opened)
        opened.other.service = await service_key(opened, opened.other.account)
        await chat(opened, opened.other.inference)
        yield opened


async def lived(house):
    """An account to which all has happened that its owner can be told of."""
    who = await studio(house, external_id="the owner of all this")
    who.requests = [
        (await score(house, who.inference)).headers["farebox-request-id"] for _ in range(2)
    ]
    body = {"request_id": who.requests[0], "reason_code": "goodwill"}
    assert (await operate(house, f"/accounts/{who.account}/refunds", body)).status_code == 201
    limits = {"day": "100", "month": "1000", "alerts": [50, 90]}
    assert (await ask(house, who.owner, "/limits", "PUT", json=limits)).status_code == 200
    who.top_up = "topup_" + who.account[5:]
    return who


async def reserving(house):
    """An account with a service key, and a reservation that this key opened."""
    who = await customer(house)
    who.service = await service_key(house, who.account)
    held = await reserve(house, who.service, "", {"amount": "1"})
    who.held = held.json()["reservation_id"]
    return who


async def reserve(house, secret, path, body):
    headers = {"authorization": f"Bearer {secret}", "idempotency-key": new_id("req")}
    url = f"{house.gateway}/billing/v1/reservations{path}"
    return await house.http.post(url, json=body, headers=headers)


def operations(document):
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            yield method.upper(), path, operation


async def description(house, which):
    url = f"{house.gateway}/billing/v1" if which == "billing" else house.admin
    return (await house.http.get(f"{url}/openapi.json")).json()


BODIES = {
    "/billing/v1/checkout": {"pack": "usd-10", "currency": "USD"},
    "/billing/v1/auto-recharge": {"auto_recharge_enabled": False},
    "/billing/v1/limits": {"day": "7.00"},
    "/billing/v1/keys": {"purpose": "inference"},
    "/billing/v1/keys/{key_id}/rotate": {},
    "/billing/v1/reservations": {"amount": "1"},
    "/billing/v1/reservations/{reservation_id}/extend": {"total": "2"},
    "/billing/v1/reservations/{reservation_id}/settle": {"charge": "1"},
}


@pytest.mark.requirement("ACC-7", "AUD-3")
async def test_no_endpoint_answers_another_accounts_data(house):
    """Every operation of the description, with another account's key and this account's ids."""
    mine, other, held = house.mine, house.other, await reserving(house)
    ids = {
        "reservation_id": [held.held],
        "request_id": [*mine.requests, new_id("req")],
        "key_id": [mine.key_id, mine.owner_key],
        "top_up_id": [mine.top_up],
    }
    secret = {
        mine.account, mine.account[5:], mine.key_id, mine.owner_key, mine.top_up, *mine.requests,
        held.account, held.account[5:], held.held,
    }  # fmt: skip
    before = await whole_of(house, mine), await whole_of(house, held)
    house.desk.asked.clear()
    called = Counter()
    for method, path, operation in operations(await description(house, "billing")):
        names = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"]
        assert set(names) <= set(ids), f"{path}: which id of another account belongs here?"
        targets = [{names[0]: value} for value in ids[names[0]]] if names else [{}]
        params = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
        once = {"idempotency-key": new_id("req")} if "reservations" in path else {}
        for target in targets:
            for key in (other.owner, other.inference, other.service):
                for query in ({}, {"key_id": mine.key_id} if "key_id" in params else {}):
                    answer = await house.http.request(
                        method, house.gateway + path.format(**target), params=query,
                        headers={"authorization": f"Bearer {key}"} | once, json=BODIES.get(path),
                    )  # fmt: skip
                    called[answer.status_code] += 1
                    assert answer.status_code < 500, (method, path, answer.text)
                    assert not [one for one in secret if one in answer.text], (method, path)
                    if target:
                        assert answer.status_code in {403, 404}, (method, path, answer.text)
    assert set(house.desk.asked) == {other.account}
    assert (await whole_of(house, mine), await whole_of(house, held)) == before
    assert {200, 201, 403, 404} <= set(called), called
    mate = await service_key(house, held.account)
    for verb, body in (("extend", {"total": "2"}), ("settle", {}), ("release", {})):
        answer = await reserve(house, mate, f"/{held.held}/{verb}", body)
        assert answer.status_code == 404, "only the key that opened it"
        assert (await reserve(house, held.service, f"/{held.held}/{verb}", body)).status_code in {
            200, 409,
        }  # fmt: skip


async def whole_of(house, who):
    """All that an owner can read, but for positions, which others move on."""
    paths = ("/balance", "/entries", "/grants", "/fees", "/keys", "/requests", "/limits", "/usage")
    told = [(await ask(house, who.owner, path)).json() for path in paths]
    assert all("code" not in one for one in told), told
    return [standing(one) for one in told]


def standing(told):
    if isinstance(told, list):
        return [standing(one) for one in told]
    if isinstance(told, dict):
        return {k: standing(v) for k, v in told.items() if k != "as_of_position"}
    return told


PROMISES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
EXAMPLES = 3
"""Of each operation, both of what the description allows and of what it does not."""


@pytest.mark.requirement("AUD-3")
@pytest.mark.parametrize("which", ["billing", "admin"])
async def test_every_answer_is_one_that_the_description_promises(house, which):
    """Whatever is sent, the status is declared, and the body has the declared form."""
    document = await description(house, which)
    who, spare = await reserving(house), await customer(house)
    paid = (await chat(house, who.inference)).headers["farebox-request-id"]
    places = {
        "account_id": who.account, "key_id": who.key_id, "request_id": paid,
        "reservation_id": who.held, "top_up_id": "topup_" + who.account[5:], "sequence": 1,
    }  # fmt: skip
    base = house.gateway if which == "billing" else house.admin.removesuffix("/admin/v1")

    def token_of(path):
        if which == "admin":
            return TOKEN
        return who.service if "/reservations" in path else who.owner

    def places_of(path):
        """What ends an account is tried on one that nothing else is tried on."""
        return places | ({"account_id": spare.account} if path.endswith("/close") else {})

    seen = await asyncio.to_thread(call_all, document, base, token_of, places_of)
    assert len(seen) == len(list(operations(document)))
    answered = sum(seen.values(), Counter())
    assert sum(count for status, count in answered.items() if status < 300) > len(seen), answered


def call_all(document, base, token_of, places_of):
    """Call every operation some times; the statuses that were answered, by operation."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=base)
    seen: dict[str, Counter[int]] = {}
    with requests.Session() as session:
        for result in schema.get_all_operations():
            operation = result.ok()
            session.headers["authorization"] = f"Bearer {token_of(operation.path)}"
            names = {parameter.name for parameter in operation.path_parameters}
            known = {n: v for n, v in places_of(operation.path).items() if n in names}
            statuses = seen[operation.label] = Counter()
            for mode in GenerationMode:
                call_some(operation, mode, known, session, statuses)
    return seen


def call_some(operation, mode, known, session, statuses):
    strategy = operation.as_strategy(generation_mode=mode, path_parameters=known or None)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def call(case):
        response = case.call(session=session)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=PROMISES)

    call()


def rows_of(answer):
    assert answer.headers["content-type"].startswith("text/csv"), answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.requirement("AUD-3")
@pytest.mark.parametrize(("which", "lists"), [("billing", 10), ("admin", 11)])
async def test_every_list_is_the_same_table_as_csv(house, which, lists):
    who = house.mine
    listed = [
        path.format(account_id=who.account)
        for method, path, operation in operations(await description(house, which))
        if "text/csv" in operation["responses"].get("200", {}).get("content", {})
    ]
    assert len(listed) == lists
    base = house.gateway if which == "billing" else house.admin.removesuffix("/admin/v1")
    secret = {"authorization": f"Bearer {who.owner if which == 'billing' else TOKEN}"}
    for path in listed:
        told = (await house.http.get(base + path, headers=secret)).json()
        [rows] = [v for k, v in told.items() if isinstance(v, list) and k != "totals"]
        for params, accept in (({"format": "csv"}, "*/*"), ({}, "text/csv")):
            headers = secret | {"accept": accept}
            answer = await house.http.get(base + path, params=params, headers=headers)
            table = rows_of(answer)
            assert len(table) == len(rows), path
            for line, row in zip(table, rows, strict=True):
                plain = {
                    k: v for k, v in row.items() if isinstance(v, str) and k != "as_of_position"
                }
                assert {k: line[k] for k in plain} == plain
    money = rows_of(await ask(house, who.owner, "/requests?format=csv"))[0]
    assert (money["fee_amount"], money["fee_currency"]) == ("0.01", "USD")


@pytest.mark.requirement("AUD-3")
async def test_a_table_is_read_to_its_end_by_its_links(house):
    who = house.mine
    whole = rows_of(await ask(house, who.owner, "/entries?format=csv"))
    found, path = [], "/billing/v1/entries?format=csv&limit=3"
    headers = {"authorization": f"Bearer {who.owner}"}
    while path:
        answer = await house.http.get(house.gateway + path, headers=headers)
        found += rows_of(answer)
        path = answer.links.get("next", {}).get("url")
    assert found == whole
    assert len(whole) > 3


@pytest.mark.requirement("AUD-3", "CRD-3")
async def test_customers_reconcile_their_credits_with_the_calls_of_the_audit_page(house):
    who = house.mine

    async def told(path):
        return (await ask(house, who.owner, path)).json()

    lines = (await told("/entries"))["entries"]
    sums = Counter()
    for line in lines:
        sums[line["type"]] += Decimal(line["amount"])
    balance = await told("/balance")
    assert sum(sums.values()) == Decimal(balance["available"])
    assert sums["reservation"] + sums["release"] == -Decimal(balance["reserved"])
    grants = (await told("/grants"))["grants"]
    for name in ("available", "reserved"):
        assert sum(Decimal(grant[name]) for grant in grants) == Decimal(balance[name])
    assert sum(Decimal(g["charged"]) for g in grants) == -sums["charge"]
    assert sum(Decimal(g["refunded"]) for g in grants) == sums["refund"] == 1
    use = (await told("/usage"))["rows"]
    assert sum(Decimal(row["charged"]) for row in use) == -sums["charge"]
    assert sum(Decimal(row["refunded"]) for row in use) == sums["refund"]
    assert sum(row["requests"] for row in use) == len((await told("/requests"))["requests"])
    fees = await told("/fees")
    assert [total["amount"] for total in fees["totals"]] == ["0.01"]  # the other went back whole
    assert sum(Decimal(fee["amount"]) for fee in fees["fees"]) == Decimal("0.01")
