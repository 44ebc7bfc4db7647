"""Which commands pass by the standing of the key and of the reservation they name: all pairs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.ids import new_id
from services.ledger.domain.state import Accepted, Conflict, Retry
from tests.support.deciding import (
    Rules,
    attach,
    command,
    detach,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    settle,
)

ACCOUNT, OTHER = new_id("acct"), new_id("acct")
KEY, OTHER_KEY = new_id("key"), new_id("key")
OK = "accepted"
UNKNOWN = "unknown_reservation"
HOLD = timedelta(seconds=60)

# command: by the key that opened the reservation (Reserve, IssueKey, RevokeKey: that it names).
BY_KEY = {
    "active": {"Reserve": OK, "Extend": OK, "Attach": OK, "IssueKey": OK, "RevokeKey": OK},
    "revoked": {
        "Reserve": "key_revoked", "Extend": "key_revoked", "Attach": "key_revoked", "IssueKey": "unknown_key",
        "RevokeKey": OK,
    },
    "expired": {
        "Reserve": "key_expired", "Extend": "key_expired", "Attach": "key_expired", "IssueKey": "unknown_key",
        "RevokeKey": OK,
    },
    "unknown": {
        "Reserve": "unknown_key", "IssueKey": "unknown_key", "RevokeKey": "unknown_key",
    },
    "foreign": {
        "Reserve": "unknown_key", "IssueKey": "unknown_key", "RevokeKey": "unknown_key",
    },
}  # fmt: skip

# What gives back or books what is held passes whatever became of the key.
ALWAYS = {"Settle": OK, "Release": OK, "Detach": OK, "ExpireReservation": OK}

KINDS = ("Extend", "Attach", "Detach", "Settle", "Release", "ExpireReservation", "Refund")
BY_RESERVATION = {
    "open": {
        "Extend": OK, "Attach": OK, "Detach": OK, "Settle": OK, "Release": OK,
        "ExpireReservation": OK, "Refund": "refund_exceeds_charge",
    },
    "overdue": {
        "Extend": "reservation_expired", "Attach": "reservation_expired", "Detach": OK,
        "Settle": OK, "Release": OK, "ExpireReservation": OK,
        "Refund": "refund_exceeds_charge",
    },
    "settled": {
        "Attach": "conflict settled", "Detach": "conflict settled",
        "Extend": "conflict settled", "Settle": "conflict settled", "Release": "conflict settled",
        "ExpireReservation": UNKNOWN, "Refund": OK,
    },
    "released": {
        "Attach": "conflict released", "Detach": "conflict released",
        "Extend": "conflict released", "Settle": "conflict released", "Release": UNKNOWN,
        "ExpireReservation": UNKNOWN, "Refund": "refund_exceeds_charge",
    },
    "expired": {
        "Attach": "reservation_expired", "Detach": "reservation_expired",
        "Extend": "reservation_expired", "Settle": OK, "Release": UNKNOWN,
        "ExpireReservation": UNKNOWN, "Refund": "refund_exceeds_charge",
    },
    "settled late": {
        "Attach": "conflict settled", "Detach": "conflict settled",
        "Extend": "conflict settled", "Settle": "conflict settled", "Release": "conflict settled",
        "ExpireReservation": UNKNOWN, "Refund": OK,
    },
    "unknown": dict.fromkeys(KINDS, UNKNOWN),
    "foreign": dict.fromkeys(KINDS, UNKNOWN),
}  # fmt: skip


@pytest.fixture
def rules() -> Rules:
    rules = Rules()
    for account, key in ((ACCOUNT, KEY), (OTHER, OTHER_KEY)):
        rules.run(open_account(account))
        rules.run(issue_key(account, key, rules.at, purpose="service"))
        rules.run(grant(account, 1000))
    return rules


def outcome(decision: Any) -> str:
    if isinstance(decision, Accepted):
        return OK
    if isinstance(decision, Retry):
        return "retry"
    return f"conflict {decision.code}" if isinstance(decision, Conflict) else decision.code


def extend(res: str, rules: Rules, number: int = 1) -> c.Command:
    data = {"res": res, "total": 90, "hold_ms": 60_000, "used_so_far": 5}
    caller = f"extend:{res}:{number}"
    return command(c.Extend, ACCOUNT, data, caller_id=caller, deadline=rules.at)


def revoke(account: str, key: str) -> c.Command:
    data = {"key_id": key, "reason_code": "lost"}
    return command(c.RevokeKey, account, data, caller_id=f"revoke:{key}")


def on_reservation(res: str, rules: Rules) -> dict[str, c.Command]:
    made = [
        extend(res, rules), settle(ACCOUNT, res, 40), release(ACCOUNT, res), expire(ACCOUNT, res),
        refund(ACCOUNT, res, 1), attach(ACCOUNT, res, "one", 1, rules.at, hold_ms=1),
        detach(ACCOUNT, res, f"of-{res}", 1),
    ]  # fmt: skip
    return {each.kind: each for each in made}


def held(rules: Rules, account: str = ACCOUNT, key: str = KEY) -> str:
    res = new_id("req")
    hold = reserve(account, key, 60, rules.at, res=res, attached_cost_ceiling=9)
    assert isinstance(rules.run(hold), Accepted)
    return res


def calling(rules: Rules, res: str) -> str:
    """A call of the reservation that has run out of its time."""
    call = attach(ACCOUNT, res, f"of-{res}", 1, rules.at, hold_ms=1)
    assert isinstance(rules.run(call), Accepted)
    rules.after(milliseconds=1)
    return res


def expired(rules: Rules) -> str:
    res = held(rules)
    rules.at += HOLD
    assert isinstance(rules.run(expire(ACCOUNT, res)), Accepted)
    return res


def after(make: Callable[[Rules], str], *told: Callable[[str, str], c.Command]) -> Any:
    def made(rules: Rules) -> str:
        res = make(rules)
        for tell in told:
            assert isinstance(rules.run(tell(ACCOUNT, res)), Accepted)
        return res

    return made


def overdue(rules: Rules) -> str:
    res = calling(rules, held(rules))
    rules.at += HOLD
    return res


def settle_30(account: str, res: str) -> c.Command:
    return settle(account, res, 30)


RESERVATIONS: dict[str, Callable[[Rules], str]] = {
    "open": lambda rules: calling(rules, held(rules)),
    "overdue": overdue,
    "settled": after(held, settle_30),
    "released": after(held, release),
    "expired": expired,
    "settled late": after(expired, settle_30),
    "unknown": lambda _: new_id("req"),
    "foreign": lambda rules: held(rules, OTHER, OTHER_KEY),
}


@pytest.mark.requirement("RSV-2", "RSV-3", "RSV-4")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", BY_RESERVATION)
def test_every_command_on_every_reservation(rules, state, kind):
    res = RESERVATIONS[state](rules)
    if (state, kind) == ("open", "ExpireReservation"):
        rules.at += HOLD
    others = rules.accounts[OTHER]
    before = len(rules.events)
    decision = rules.run(on_reservation(res, rules)[kind])
    assert outcome(decision) == BY_RESERVATION[state][kind]
    assert rules.accounts[OTHER] == others, "nobody touches another's account"
    if not isinstance(decision, Accepted):
        assert len(rules.events) == before


@pytest.mark.requirement("RSV-3")
@pytest.mark.parametrize("state", ["settled", "released"])
def test_a_conflict_names_where_the_reservation_was_closed(rules, state):
    res = RESERVATIONS[state](rules)
    conflict = rules.run(settle(ACCOUNT, res, 59))
    assert conflict == Conflict(state, len(rules.events))


def key_standing(rules: Rules, standing: str, key: str) -> None:
    """`key` is what commands name; it expires after a minute in any case."""
    if standing == "revoked":
        rules.run(revoke(ACCOUNT, key))
    elif standing == "expired":
        rules.after(seconds=61)


@pytest.mark.requirement("ACC-3", "ACC-4", "ACC-5")
@pytest.mark.parametrize("standing", BY_KEY)
def test_every_command_on_every_key(rules, standing):
    named, fresh = new_id("key"), new_id("key")
    ends = rules.at + timedelta(seconds=60)
    owner = OTHER if standing == "foreign" else ACCOUNT
    if standing != "unknown":
        rules.run(issue_key(owner, named, rules.at, expires_at=ends, purpose="service"))
    wanted = BY_KEY[standing] | (ALWAYS if "Extend" in BY_KEY[standing] else {})
    holds = {}
    if "Extend" in wanted:
        for kind in ("Extend", "Attach", *ALWAYS):
            holds[kind] = new_id("req")
            given = {"hold_ms": 600_000, "attached_cost_ceiling": 9}
            rules.run(reserve(ACCOUNT, named, 60, rules.at, res=holds[kind], **given))
            calling(rules, holds[kind])
    key_standing(rules, standing, named)
    told = {"Reserve": reserve(ACCOUNT, named, 1, rules.at)}
    told |= {kind: on_reservation(res, rules)[kind] for kind, res in holds.items()}
    told["IssueKey"] = issue_key(ACCOUNT, fresh, rules.at, rotates=named)
    told["RevokeKey"] = revoke(ACCOUNT, named)
    last = told.pop("ExpireReservation", None)
    got = {kind: outcome(rules.run(each)) for kind, each in told.items()}
    if last is not None:
        got[last.kind] = outcome(rules.after(minutes=10).run(last))
    assert got == wanted
