"""Each invariant is broken once, by hand, in a log that is whole otherwise."""

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from libs.events import commands as c
from libs.events.chain import GENESIS, body_hash
from libs.events.codec import canonical
from services.ledger.invariants import check
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

ACCOUNT, KEY = f"acct_{1:032x}", f"key_{1:032x}"
FEE = {"currency": "USD", "minor": 3, "schedule": "fee-1"}
HELD = {"fee": FEE, "attached_cost_ceiling": 100}

Body = dict[str, Any]


def res(number: int) -> str:
    return f"req_{number:032x}"


def written(rules: Rules) -> list[Body]:
    """The events as a log would hold them."""
    bodies = [
        {
            "account_id": event.account_id, "causation": None, "command_id": "test",
            "correlation_id": "test", "data": event.data, "incarnation": 1,
            "occurred_at": event.occurred_at, "partition": 0, "traceparent": None,
            "type": event.type, "type_version": 1,
        }
        for event in rules.events
    ]  # fmt: skip
    return chained(orjson.loads(orjson.dumps(bodies)))


def chained(bodies: list[Body]) -> list[Body]:
    """Numbered and linked anew, so that only what a test broke is broken."""
    head = GENESIS
    for number, body in enumerate(bodies, start=1):
        body.update(position=number, version=number, prev=head)
        head = body_hash(canonical(body)).hex()
    return bodies


@pytest.fixture(scope="module")
def story() -> list[Body]:
    """A hold of each fate: settled above it and refunded, released, expired and settled late."""
    rules = Rules()
    rules.run(open_account(ACCOUNT))
    rules.run(issue_key(ACCOUNT, KEY, rules.at, cap_total=500, purpose="service"))
    rules.run(command(c.SetSpendLimits, ACCOUNT, {"day": 500, "month": 500, "alerts": []}))
    rules.run(grant(ACCOUNT, 1000))
    for number in (1, 2, 3, 4):
        rules.run(reserve(ACCOUNT, KEY, 100, rules.at, res=res(number), **HELD))
    rules.run(attach(ACCOUNT, res(1), "one", 60, rules.at))
    rules.run(detach(ACCOUNT, res(1), "one", 50))
    rules.run(attach(ACCOUNT, res(1), "two", 50, rules.at))
    rules.run(detach(ACCOUNT, res(1), "two", 50))
    rules.run(settle(ACCOUNT, res(1), 120))
    rules.run(refund(ACCOUNT, res(1), 50))
    rules.run(release(ACCOUNT, res(2)))
    rules.after(minutes=5).run(expire(ACCOUNT, res(3)))
    rules.run(settle(ACCOUNT, res(3), 80))
    return written(rules)


def test_an_honest_story_breaks_nothing(story):
    assert check(story) == []
    assert {body["type"] for body in story} >= {"ReservationExpired", "CreditsRefunded"}


def find(bodies: list[Body], kind: str, number: int) -> Body:
    return next(b for b in bodies if b["type"] == kind and b["data"]["res"] == res(number))


def again(kind: str, number: int, as_number: int | None = None) -> Callable[[list[Body]], None]:
    """The event of a reservation once more, at the end."""

    def break_it(bodies: list[Body]) -> None:
        last = copy.deepcopy(find(bodies, kind, number))
        last["occurred_at"] = bodies[-1]["occurred_at"]
        last["data"]["res"] = res(as_number or number)
        bodies.append(last)

    return break_it


def change(kind: str, number: int, **data: Any) -> Callable[[list[Body]], None]:
    return lambda bodies: find(bodies, kind, number)["data"].update(data)


def lowered(bodies: list[Body]) -> None:
    next(b for b in bodies if b["type"] == "SpendLimitsSet")["data"]["day"] = "399"


def capped(bodies: list[Body]) -> None:
    next(b for b in bodies if b["type"] == "KeyIssued")["data"]["cap_total"] = "399"


def another_incarnation(bodies: list[Body]) -> None:
    bodies[3]["incarnation"] = 2


def backwards(bodies: list[Body]) -> None:
    at = bodies[-1]["occurred_at"]
    bodies[2]["occurred_at"] = at


@pytest.mark.requirement("AUD-6")
@pytest.mark.parametrize(
    ("invariant", "break_it"),
    [
        ("a reservation ends once", again("CreditsCharged", 1)),
        ("a reservation ends once", again("CreditsReleased", 2)),
        ("a reservation ends once", again("CreditsCharged", 3)),
        ("a reservation ends once", again("CreditsReserved", 4)),
        ("a reservation is opened first, by its account", again("CreditsCharged", 1, 9)),
        ("a late charge is within the hold", change("CreditsCharged", 3, charge="101")),
        ("a charge is what hold and balance gave", change("CreditsCharged", 1, charge="121")),
        ("refunds stay within the charge", change("CreditsRefunded", 1, amount="121")),
        (
            "a fee is given back once",
            change("CreditsReleased", 2, fee_reversed={**FEE, "minor": 4}),
        ),
        ("a fee accrues once", change("CreditsCharged", 1, fee=FEE)),
        ("open reservations add up to reserved", change("CreditsReserved", 4, amount="90")),
        ("the cap of a total holds", capped),
        ("the cap of a day holds", lowered),
        ("attached calls stay within the ceiling", change("CallAttached", 1, cost_bound="101")),
        ("attached calls stay within the ceiling", change("CallDetached", 1, cost="51")),
        ("a reservation outlasts its calls", change("CallDetached", 1, call_id="other")),
        ("data.call_id", change("CallDetached", 1, call_id="other")),
        ("data.until", change("CallAttached", 1, until="2026-11-20T12:01:00.000001Z")),
        ("incarnations never fall", another_incarnation),
        ("time never runs backwards", backwards),
        ("data.available", change("CreditsReserved", 4, available="1")),
        ("postings", change("CreditsCharged", 1, extra="0")),
        ("balance", change("CreditsReserved", 4, available="-1")),
        ("books sum to zero", change("CreditsCharged", 1, extra="0")),
        ("grants add up to reserved", change("CreditsReserved", 4, **{"from": []})),
        ("grant 2", change("CreditsRefunded", 1, to=[[1, "49"], [2, "1"]])),
    ],
)
def test_each_invariant_can_fail(story, invariant, break_it):
    bodies = copy.deepcopy(story)
    break_it(bodies)
    found = {broken.invariant for broken in check(chained(bodies))}
    assert invariant in found


@pytest.mark.parametrize(
    ("invariant", "field", "value"),
    [
        ("positions are contiguous", "position", 7),
        ("versions are contiguous", "version", 7),
        ("the chain is whole", "prev", "0" * 64),
    ],
)
def test_a_broken_chain_is_found(story, invariant, field, value):
    bodies = copy.deepcopy(story)
    bodies[3][field] = value
    found = [broken for broken in check(bodies) if broken.invariant == invariant]
    assert found
    assert found[0].account_id == ACCOUNT


def test_a_changed_body_breaks_the_link_after_it(story):
    bodies = copy.deepcopy(story)
    bodies[3]["correlation_id"] = "another"
    assert [(b.invariant, b.position) for b in check(bodies)] == [("the chain is whole", 5)]
