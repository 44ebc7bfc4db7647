import dataclasses

import pytest

from libs.catalogue import parse
from libs.events.ids import account_for_external_id, new_id
from tests.support.catalogue import EXAMPLE


@pytest.mark.requirement("ACC-1")
async def test_unit_and_initial_come_from_the_plan(api):
    answer = await api.post("/accounts", {"plan": "studio"})
    assert answer.status_code == 201
    opened = answer.json()
    assert (opened["unit"], opened["plan"], opened["external_id"]) == ("CREDIT", "studio", None)
    command = api.ledger.sent[0]
    assert command.data.catalogue == api.admin.catalogue.hash
    assert command.caller_id == command.account_id == opened["account_id"]
    shown = (await api.http.get(f"/admin/v1/accounts/{opened['account_id']}")).json()
    assert (shown["available"], shown["status"], shown["keys"]) == ("0", "open", [])


async def test_the_initial_credits_of_a_plan_are_given_at_the_opening(api):
    _set_initial(api, "20")
    answer = (await api.post("/accounts", {"plan": "studio"})).json()
    assert answer["initial"] == "20"
    shown = (await api.http.get(f"/admin/v1/accounts/{answer['account_id']}")).json()
    assert shown["total"] == "20"


def _set_initial(api, amount):
    studio = api.admin.catalogue.plans["studio"]
    changed = dataclasses.replace(studio, initial=int(amount) * 10**9)
    plans = {**api.admin.catalogue.plans, "studio": changed}
    object.__setattr__(api.admin, "catalogue", dataclasses.replace(parse(EXAMPLE), plans=plans))


async def test_a_repeat_with_the_same_key_is_the_same_account(api):
    first = await api.post("/accounts", {"plan": "payg"}, key="a")
    again = await api.post("/accounts", {"plan": "payg"}, key="a")
    other = await api.post("/accounts", {"plan": "payg"}, key="b")
    assert first.json() == again.json()
    assert other.json()["account_id"] != first.json()["account_id"]
    assert len(api.ledger.rules.accounts) == 2


async def test_the_same_key_with_another_plan_is_refused(api):
    await api.post("/accounts", {"plan": "payg"}, key="a")
    answer = await api.post("/accounts", {"plan": "studio"}, key="a")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.requirement("ACC-8")
async def test_an_external_id_is_one_account_whatever_the_key(api):
    first = await api.post("/accounts", {"plan": "payg", "external_id": "customer 7"})
    again = await api.post("/accounts", {"plan": "payg", "external_id": "customer 7"})
    assert first.json() == again.json()
    assert first.json()["account_id"] == account_for_external_id("customer 7")
    hashes = {command.data.external_id_hash for command in api.ledger.sent}
    assert len(hashes) == 1
    assert "customer" not in hashes.pop()


async def test_an_external_id_stays_one_account_when_the_plan_gives_more(api):
    first = await api.post("/accounts", {"plan": "studio", "external_id": "x"})
    _set_initial(api, "5")
    again = await api.post("/accounts", {"plan": "studio", "external_id": "x"})
    assert again.status_code == 201
    assert again.json()["account_id"] == first.json()["account_id"]


async def test_an_external_id_on_another_plan_is_refused_by_name(api):
    account = await api.open(external_id="x")
    answer = await api.post("/accounts", {"plan": "studio", "external_id": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "external_id_taken")
    assert answer.json()["account_id"] == account


async def test_an_unknown_plan_is_refused_with_those_there_are(api):
    answer = await api.post("/accounts", {"plan": "gold"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_plan")
    assert answer.json()["plans"] == ["payg", "studio"]
    assert api.ledger.sent == []


@pytest.mark.parametrize("account", [new_id("acct"), new_id("key"), "acct_1", "%00", "x" * 500])
async def test_an_unknown_account_is_404_everywhere(api, account):
    root = f"/accounts/{account}"
    answers = [
        await api.http.get(f"/admin/v1{root}"),
        await api.http.delete(f"/admin/v1{root}/keys/{new_id('key')}"),
        await api.post(f"{root}/keys", {"purpose": "inference"}),
        await api.post(f"{root}/grants", {"amount": "1.00", "reason_code": "test"}),
        await api.post(f"{root}/freeze", {"reason": "manual"}),
        await api.post(f"{root}/unfreeze", {"reason": "manual"}),
    ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(404, "unknown_account")] * 6
