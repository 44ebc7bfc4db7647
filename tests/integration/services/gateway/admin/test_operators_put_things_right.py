"""What operators do, by their roles, on the running ledger."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from tests.support.house import (
    SUPPORT,
    TOKEN,
    VIEWER,
    ask,
    chat,
    customer,
    look,
    open_house,
    operate,
    studio,
)
from tests.support.nats import connected
from tests.support.services import ledger_client
from tests.support.waiting import until


@pytest.fixture(scope="module")
async def house(database, streams, tmp_path_factory) -> AsyncIterator[Any]:
    async with open_house(database, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.mark.requirement("CRD-7")
async def test_a_whole_refund_repeated_is_one_refund(house):
    who = await customer(house)
    res = (await chat(house, who.inference)).headers["farebox-request-id"]
    body = {"request_id": res, "reason_code": "failed", "note": "it was our fault"}
    path = f"/accounts/{who.account}/refunds"
    answers = [await operate(house, path, body, key="once", token=SUPPORT) for _ in range(3)]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    charge = (await look(house, f"/accounts/{who.account}/requests/{res}")).json()["charge"]
    assert (answers[0].json()["amount"], answers[0].json()["whole"]) == (charge, True)
    assert (await ask(house, who.owner, "/balance")).json()["available"] == "5.00"
    more = await operate(house, path, body | {"amount": "0.000000001"})
    assert (more.status_code, more.json()["code"]) == (422, "refund_exceeds_charge")
    lines = (await ask(house, who.owner, "/entries")).json()["entries"]
    assert [(line["amount"], line["request_id"]) for line in lines if line["type"] == "refund"] == [
        (charge, res)
    ]


@pytest.mark.requirement("CRD-7")
async def test_a_balance_is_corrected_both_ways_and_closed_with_what_is_left(house):
    who = await customer(house, "3.00")
    path = f"/accounts/{who.account}"
    for amount, left in (("2.00", "5.00"), ("-1.50", "3.50")):
        body = {"amount": amount, "reason_code": "wrong_import"}
        for _ in range(2):
            told = await operate(house, f"{path}/adjustments", body, key=amount)
            assert (told.status_code, told.json()["available"]) == (201, left), told.text
    over = {"amount": "-9.00", "reason_code": "x"}
    assert (await operate(house, f"{path}/adjustments", over)).json()[
        "code"
    ] == "insufficient_balance"
    kinds = [line["type"] for line in (await look(house, f"{path}/entries")).json()["entries"]]
    assert kinds == ["adjustment"] * 3
    full = await operate(house, f"{path}/close", {"reason_code": "asked"})
    assert (full.status_code, full.json()["code"]) == (409, "account_not_empty")
    body = {"reason_code": "asked", "write_off": True}
    assert (await operate(house, f"{path}/close", body)).status_code == 200
    assert (await look(house, path)).json()["status"] == "closed"


@pytest.mark.requirement("ACC-7")
async def test_each_operator_does_what_the_role_allows(house):
    who = await customer(house)
    path = f"/accounts/{who.account}"
    grant = {"amount": "1.00", "reason_code": "x"}
    for token, role in ((VIEWER, "viewer"), (SUPPORT, "support"), (TOKEN, "admin")):
        assert (await look(house, "/operator", token)).json()["role"] == role
        assert (await look(house, path, token)).status_code == 200
        froze = await operate(house, f"{path}/freeze", {"reason": "manual"}, token=token)
        assert froze.status_code == (403 if role == "viewer" else 200)
        gave = await operate(house, f"{path}/grants", grant, token=token)
        assert gave.status_code == (201 if role == "admin" else 403)
        if role != "admin":
            assert (gave.json()["code"], gave.json()["required"]) == ("role_missing", "admin")


@pytest.mark.requirement("RSV-4")
async def test_an_operator_finds_an_open_hold_and_gives_it_back(house):
    who = await customer(house)
    async with ledger_client(house.database, "gateway", "use") as gateway:
        await gateway.check_installation()
        res = new_id("req")
        sold = (await look(house, "/catalogues")).json()["configured"]
        reserve = c.Reserve(
            caller_id=res, account_id=who.account, correlation_id=res,
            deadline=gateway.ledger_now().replace(year=2999),
            data=c.ReserveData(
                key_id=who.key_id, operation="swift-1", surface="openai_chat", amount=10**9,
                at_least=10**9, hold_ms=600_000, at_deadline="release", catalogue=sold,
            ),
        )  # fmt: skip
        assert (await gateway.send(reserve, give_up_s=4)).reply == "Reserved"
        path = f"/accounts/{who.account}/reservations"
        [held] = (await look(house, path)).json()["reservations"]
        assert (held["reservation_id"], held["amount_nanos"]) == (res, str(10**9))
        everywhere, after = [], {}
        while True:
            page = (await look(house, "/reservations", params={"limit": 1} | after)).json()
            everywhere += [row["reservation_id"] for row in page["reservations"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert everywhere.count(res) == 1
        body = {"reason_code": "stuck"}
        for _ in range(2):
            told = await operate(house, f"{path}/{res}/release", body)
            assert (told.status_code, told.json()["released"]) == (200, "1.00"), told.text
        charge = c.Settle(
            caller_id=res, account_id=who.account, correlation_id=res,
            data=c.SettleData(res=res, charge=1, margin=0, basis="actual"),
        )  # fmt: skip
        assert (await gateway.send(charge, give_up_s=4)).reply == "Conflict"


async def test_accounts_are_listed_over_all_partitions_page_by_page(house):
    mine, other = await studio(house, external_id="the owner of all this"), await customer(house)
    found, after = [], {}
    while True:
        page = (await look(house, "/accounts", params={"limit": 2} | after)).json()
        found += [account["account_id"] for account in page["accounts"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert len(found) == len(set(found))
    assert {mine.account, other.account} <= set(found)
    named = await look(house, "/accounts", params={"external_id": "the owner of all this"})
    assert [row["account_id"] for row in named.json()["accounts"]] == [mine.account]
    moved = await operate(house, f"/accounts/{mine.account}/plan", {"plan": "payg"})
    assert (moved.status_code, moved.json()["code"]) == (422, "unit_mismatch")


async def test_what_could_not_be_read_is_in_quarantine(house, stack):
    async with connected(stack, "gateway") as gateway:
        await gateway.publish("ledger.commands.0.use", b"no command", reply="inbox.gateway.x")
        await gateway.flush()

    async def kept():
        return (await look(house, "/quarantine")).json()["messages"]

    [message, *_] = await until(kept)
    assert (message["service"], message["position"], message["size"]) == ("ledger", None, 10)
    path = f"/quarantine/{message['sequence']}"
    assert (await look(house, path, VIEWER)).status_code == 403
    assert (await look(house, path, SUPPORT)).json()["text"] == "no command"
    assert (await look(house, "/quarantine/999999", SUPPORT)).status_code == 404
