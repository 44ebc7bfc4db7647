from datetime import timedelta

import pytest

from libs.events.ids import new_id, partition_of, secret_hash, secret_partition
from libs.events.times import to_text
from services.gateway import issuing


@pytest.mark.requirement("ACC-2")
async def test_the_secret_is_in_the_answer_and_only_its_hash_in_the_ledger(api):
    account = await api.open()
    answer = await api.post(f"/accounts/{account}/keys", {"purpose": "inference", "name": "Büro"})
    assert answer.status_code == 201
    issued = answer.json()
    command = api.ledger.sent[-1]
    assert secret_hash(issued["secret"]) == command.data.secret_hash
    partitions = api.admin.catalogue.ledger.partitions
    assert secret_partition(issued["secret"]) == partition_of(account, partitions)
    assert issued["secret"].startswith(issued["prefix"])
    assert len(issued["secret"]) - len(issued["prefix"]) >= 37
    assert issued["secret"] not in command.model_dump_json()
    assert command.deadline > api.ledger.ledger_now()
    shown = (await api.http.get(f"/admin/v1/accounts/{account}")).json()["keys"]
    assert [(key["key_id"], key["status"]) for key in shown] == [(issued["key_id"], "active")]
    assert issued["secret"] not in str(shown)


async def test_the_prefix_tells_six_characters_whatever_the_secret(api, monkeypatch):
    monkeypatch.setattr(issuing, "new_secret", lambda partition: f"fb_{partition}_" + "_" * 43)
    account = await api.open()
    issued = (await api.post(f"/accounts/{account}/keys", {"purpose": "inference"})).json()
    partition = partition_of(account, api.admin.catalogue.ledger.partitions)
    assert issued["prefix"] == f"fb_{partition}_" + "_" * 6


async def test_a_repeat_answers_200_without_the_secret(api):
    account = await api.open()
    body = {
        "purpose": "account",
        "allowed": ["swift-1"],
        "expires_at": to_text(api.ledger.rules.at + timedelta(days=1)),
    }
    first = await api.post(f"/accounts/{account}/keys", body, key="k")
    again = await api.post(f"/accounts/{account}/keys", body, key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"secret": None}
    assert len(api.ledger.rules.accounts[account].keys) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": "account"},
        {"purpose": "inference", "allowed": ["swift-1"]},
        {"purpose": "inference", "expires_at": "2027-01-01T00:00:00Z"},
    ],
)
async def test_the_same_key_with_other_contents_is_refused(api, other):
    account = await api.open()
    await api.post(f"/accounts/{account}/keys", {"purpose": "inference"}, key="k")
    answer = await api.post(f"/accounts/{account}/keys", other, key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_one_key_serves_two_accounts(api):
    answers = [
        await api.post(f"/accounts/{await api.open()}/keys", {"purpose": "inference"}, key="k")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["key_id"] != answers[1].json()["key_id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"purpose": "operator"}, 422, "invalid_request"),
        ({"purpose": "inference", "cap_day": "1,00"}, 422, "invalid_request"),
        ({"purpose": "inference", "cap_day": "0"}, 422, "invalid_request"),
        ({"purpose": "inference", "allowed": []}, 422, "invalid_request"),
        ({"purpose": "inference", "allowed": ["swift-2"]}, 422, "unknown_item"),
        ({"purpose": "inference", "expires_at": "2026-11-20T12:00:00"}, 422, "invalid_request"),
        (
            {"purpose": "inference", "expires_at": "9999-12-31T23:59:59-10:00"},
            422,
            "invalid_request",
        ),
        ({"purpose": "inference", "expires_at": "2020-01-01T00:00:00Z"}, 422, "key_expired"),
        ({"purpose": "inference", "name": "a\0b"}, 422, "invalid_request"),
    ],
)
async def test_a_wrong_key_is_refused_by_its_field(api, body, status, code):
    account = await api.open()
    answer = await api.post(f"/accounts/{account}/keys", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert api.ledger.rules.accounts[account].keys == {}


async def test_a_frozen_account_gets_no_key(api):
    account = await api.open()
    await api.post(f"/accounts/{account}/freeze", {"reason": "manual"})
    answer = await api.post(f"/accounts/{account}/keys", {"purpose": "inference"})
    assert (answer.status_code, answer.json()["code"]) == (409, "account_frozen")


@pytest.mark.requirement("ACC-5")
async def test_revoking_ends_a_key_and_can_be_repeated(api):
    account = await api.open()
    key = (await api.post(f"/accounts/{account}/keys", {"purpose": "inference"})).json()["key_id"]
    for _ in range(2):
        answer = await api.http.delete(f"/admin/v1/accounts/{account}/keys/{key}")
        assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    assert api.ledger.rules.accounts[account].keys[key].revoked


async def test_the_key_of_another_account_cannot_be_revoked(api):
    mine, other = await api.open(), await api.open()
    key = (await api.post(f"/accounts/{other}/keys", {"purpose": "inference"})).json()["key_id"]
    for wrong in (key, new_id("key"), "key_1"):
        answer = await api.http.delete(f"/admin/v1/accounts/{mine}/keys/{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_key")
    assert not api.ledger.rules.accounts[other].keys[key].revoked
