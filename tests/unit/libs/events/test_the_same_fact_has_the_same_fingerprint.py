import copy
import hashlib
import json
from typing import Any

import pytest

from libs.events.codec import Malformed, canonical, decode_command
from libs.events.commands import COMMANDS, Command
from libs.events.fingerprints import fact_names, fingerprint
from tests.contract import examples

# kind, field of the data: another value that is also valid
OTHER: dict[str, Any] = {
    "unit": "EUR",
    "plan": "other",
    "initial": "1",
    "external_id_hash": "0" * 64,
    "write_off": False,
    "reason": "manual",
    "revoke_keys": None,
    "secret_hash": "0" * 64,
    "purpose": "account",
    "allowed": None,
    "cap_total": None,
    "cap_day": None,
    "cap_month": "1",
    "expires_at": None,
    "rotates": None,
    "overlap_ms": 0,
    "day": None,
    "month": None,
    "alerts": [],
    "source": "recharge",
    "amount": "7",
    "priority": 5,
    "shelf_months": None,
    "paid": None,
    "payment": "pi_9",
    "attempt_id": None,
    "operation": "other",
    "at_least": "1",
    "hold_ms": 1,
    "at_deadline": "charge",
    "catalogue": "0" * 64,
    "fee": None,
    "attached_cost_ceiling": None,
    "total": "99",
    "used_so_far": "0",
    "charge": "1100001",
    "margin": "0",
    "basis": None,
    "cost_bound": "0",
    "cost": "0",
    "whole": True,
    "grant_no": None,
    "returned": 1,
    "enabled": False,
    "threshold": "0",
    "pack": None,
    "cap_charge": None,
    "credits": "1",
    "price": {"currency": "USD", "minor": 1},
    "class": "hard",
    "effective_from": examples.NEXT_YEAR,
    "withdraws": [],
    "surface": "other",
    "tags": {},
    "note": None,
    "name": None,
    "prefix": "other",
    "external_id": None,
    "reason_code": "other",
    "cost_pico": None,
    "usage": {},
    "model": None,
    "route": None,
    "route_reason": None,
    "attempts": [],
    "finish": None,
    "status": None,
    "reserve_deadline": None,
    "consent": None,
    "trigger": "sweep:1",
    "code": None,
    "first_position": 7,
}
BY_KIND: dict[tuple[str, str], Any] = {
    ("FreezeAccount", "revoke_keys"): False,
    ("UnfreezeAccount", "revoke_keys"): True,
    ("Settle", "basis"): "fixed",
    ("ConfigureRecharge", "basis"): "available",
    ("ResumeRecharge", "reason"): "operator",
    ("Reserve", "amount"): "11448361",
    ("Clawback", "paid"): 2000,
    ("GrantCredits", "paid"): {"currency": "EUR", "minor": 1000},
    ("Clawback", "cause"): "refund:re_2",
}
# Named by the caller id, or bound to another field: never another value under the same id.
TIED = {
    "key_id", "res", "attempt_id", "call_id", "hash", "text", "cause", "incarnation", "grant_no",
}  # fmt: skip


def decoded(wire: dict[str, Any]) -> Command:
    command = decode_command(json.dumps(wire).encode())
    assert not isinstance(command, Malformed), command
    return command


def fields() -> list[tuple[str, str]]:
    return [
        (kind, name)
        for kind, (_, data) in examples.COMMANDS.items()
        for name in data
        if name != "once"
    ]


def changed(kind: str, name: str) -> Command | None:
    if (kind, name) not in BY_KIND and (name in TIED and kind != "GrantCredits"):
        return None
    if (kind, name) == ("Clawback", "amount"):
        return None
    wire = copy.deepcopy(examples.command(kind))
    value = BY_KIND.get((kind, name), OTHER.get(name))
    assert wire["data"][name] != value, f"{kind}.{name} needs another value"
    wire["data"][name] = value
    return decoded(wire)


@pytest.mark.parametrize(("kind", "name"), fields())
@pytest.mark.requirement("RSV-3")
def test_only_the_fields_that_decide_change_a_fingerprint(kind, name):
    other = changed(kind, name)
    if other is not None:
        same = fingerprint(other) == fingerprint(decoded(examples.command(kind)))
        assert same is (name not in fact_names(kind))


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.requirement("RSV-3")
def test_the_envelope_never_changes_a_fingerprint(kind):
    wire = examples.command(kind)
    other = wire | {"correlation_id": "other", "causation": None, "traceparent": None}
    if kind in examples.DATED:
        other["deadline"] = examples.NEXT_YEAR
    assert fingerprint(decoded(other)) == fingerprint(decoded(wire))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_fingerprint_is_the_hash_of_the_kind_and_facts_as_they_travel(kind):
    wire = examples.command(kind)
    facts = {name: wire["data"][name] for name in fact_names(kind)}
    expected = hashlib.sha256(canonical({"kind": kind, **facts})).digest()
    assert fingerprint(decoded(wire)) == expected


def test_no_fact_is_named_kind():
    assert all("kind" not in fact_names(kind) for kind in COMMANDS)


def test_two_kinds_with_the_same_facts_differ():
    prints = {fingerprint(decoded(examples.command(kind))) for kind in COMMANDS}
    assert len(prints) == len(COMMANDS)


def test_a_release_is_the_same_whatever_its_reason():
    wire = copy.deepcopy(examples.command("Release"))
    wire["data"] |= {
        "reason_code": "gave_up",
        "reserve_deadline": None,
        "route": None,
        "attempts": [],
        "status": None,
    }
    assert fingerprint(decoded(wire)) == fingerprint(decoded(examples.command("Release")))


def reserve_once(once: str | None) -> Command:
    wire = copy.deepcopy(examples.command("Reserve"))
    wire["data"]["once"] = once
    return decoded(wire)


@pytest.mark.requirement("RSV-3")
def test_who_opens_a_reservation_counts_where_it_is_told():
    """Two tries to open one reservation are told apart; without it nothing is as it was not."""
    prints = {fingerprint(reserve_once(once)) for once in (None, "a" * 32, "b" * 32)}
    assert len(prints) == 3
    assert fingerprint(reserve_once("a" * 32)) in prints
    assert fingerprint(reserve_once(None)) == fingerprint(decoded(examples.command("Reserve")))


def test_a_sender_that_knows_no_once_is_understood():
    wire = copy.deepcopy(examples.command("Reserve"))
    del wire["data"]["once"]
    assert decoded(wire) == reserve_once(None)
    del wire["data"]["tags"]
    assert decode_command(json.dumps(wire).encode()) == Malformed("tags: field is absent")


def test_two_amounts_never_share_a_fingerprint():
    wire = copy.deepcopy(examples.command("GrantCredits"))
    prints = set()
    for amount in ("1", "10", "11", "100", "4611686018427387904", "4611686018427387903"):
        wire["data"]["amount"] = amount
        prints.add(fingerprint(decoded(wire)))
    assert len(prints) == 6
