"""Whatever is wrong with a command, it is answered by name and the log does not grow."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from libs.events import commands as c
from libs.events.codec import Malformed, decode_command
from libs.events.ids import new_id
from libs.events.money import MAX_AMOUNT, NANOS
from tests.support.database import Database
from tests.support.deciding import (
    clawback,
    command,
    correct,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    release,
    reserve,
    reverse,
    settle,
)
from tests.support.log_builder import account_in
from tests.support.writing import Bench, open_bench

DISPUTE = "dispute:dp_1"
HALF = NANOS // 2
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}


class World(NamedTuple):
    """A writer, an account of dollars and one of whole credits, and what became of a few holds."""

    bench: Bench
    usd: str
    usd_key: str
    credit: str
    key: str
    held: str
    settled: str
    released: str
    foreign: str
    attempt: str

    @property
    def soon(self) -> Any:
        return self.bench.at + timedelta(seconds=5)


@pytest.fixture(scope="module")
async def world(database: Database) -> AsyncIterator[World]:
    bench = await open_bench(database.dsn("ledger"))
    usd, credit, key, usd_key = account_in(0), account_in(0), new_id("key"), new_id("key")
    held, settled, released, foreign = (new_id("req") for _ in range(4))
    attempt = new_id("rchg")
    paid = {"source": "purchase", "payment": "pi_1"}
    price = {"currency": "USD", "minor": 100}
    starting = {"attempt_id": attempt, "credits": NANOS, "price": price, "trigger": "1-0-1"}
    policy = {"enabled": True, "threshold": MAX_AMOUNT, "basis": "total", "amount": NANOS}
    told = [
        open_account(usd), issue_key(usd, usd_key, bench.at), grant(usd, 100 * NANOS, **paid),
        reserve(usd, usd_key, NANOS, bench.at, res=foreign),
        command(c.ConfigureRecharge, usd, policy),
        open_account(credit, unit="CREDIT"), issue_key(credit, key, bench.at),
        grant(credit, 100 * NANOS, **paid),
        *(reserve(credit, key, 5 * NANOS, bench.at, res=r) for r in (held, settled, released)),
        settle(credit, settled, 3 * NANOS), release(credit, released),
        command(c.ConfigureRecharge, credit, policy | {"threshold": 200 * NANOS}),
        command(c.StartRecharge, credit, starting, caller_id=attempt, deadline=bench.at),
    ]  # fmt: skip
    replies = await bench.run(*told)
    assert not {reply["reply"] for reply in replies} & {"Declined", "Conflict", "Malformed"}
    yield World(bench, usd, usd_key, credit, key, held, settled, released, foreign, attempt)
    await bench.close()


def wire(told: c.Command, **data: Any) -> bytes:
    """The bytes of a command whose data says something else than may be said."""
    body = json.loads(told.model_dump_json())
    body["data"] |= data
    return json.dumps(body).encode()


async def answer(bench: Bench, told: "c.Command | bytes") -> tuple[str, str | None, str | None]:
    """Reply, code and parameter, as the ledger answers these bytes."""
    raw = told if isinstance(told, bytes) else wire(told)
    decoded = decode_command(raw)
    if isinstance(decoded, Malformed):
        return "Malformed", None, None
    (reply,) = await bench.run(decoded)
    data = reply["data"]
    return reply["reply"], data.get("code"), data.get("parameter")


def extend(w: World, res: str, total: int, used: int = 0, hold_ms: int = 60_000) -> c.Command:
    data = {"res": res, "total": total, "hold_ms": hold_ms, "used_so_far": used}
    caller = f"extend:{res}:7"
    return command(c.Extend, w.credit, data, caller_id=caller, deadline=w.soon)


def start(w: World, account: str, **data: Any) -> c.Command:
    attempt = new_id("rchg")
    price = {"currency": "USD", "minor": 100}
    given = {"attempt_id": attempt, "credits": NANOS, "price": price, "trigger": "1-0-1"}
    caller = {"caller_id": attempt, "deadline": w.soon}
    return command(c.StartRecharge, account, given | data, **caller)


def fail(account: str, attempt: str) -> c.Command:
    data = {"attempt_id": attempt, "class": "soft", "code": "x"}
    return command(c.RecordRechargeFailure, account, data, caller_id=f"failed:{attempt}")


def configure(w: World, **data: Any) -> c.Command:
    policy = {"enabled": True, "threshold": NANOS, "basis": "total", "amount": NANOS}
    return command(c.ConfigureRecharge, w.credit, policy | data)


def limits(w: World, **data: Any) -> c.Command:
    return command(c.SetSpendLimits, w.credit, {"day": None, "month": None} | data)


def revoke(account: str, key: str) -> c.Command:
    data = {"key_id": key, "reason_code": "x"}
    return command(c.RevokeKey, account, data, caller_id=f"revoke:{key}")


Tell = Callable[[World], "c.Command | bytes"]


def hold(w: World, **data: Any) -> bytes:
    return wire(reserve(w.credit, w.key, NANOS, w.soon), **data)


OUT_OF_BOUNDS: dict[str, Tell] = {
    f"{kind} {field} {value}": lambda w, make=make, field=field, value=value: wire(
        make(w), **{field: value}
    )
    for kind, field, make in (
        ("Grant", "amount", lambda w: grant(w.credit, NANOS)),
        ("Reserve", "amount", lambda w: reserve(w.credit, w.key, NANOS, w.soon)),
        ("Reserve", "at_least", lambda w: reserve(w.credit, w.key, NANOS, w.soon)),
        ("Extend", "total", lambda w: extend(w, w.held, NANOS)),
        ("Refund", "amount", lambda w: refund(w.credit, w.settled, NANOS)),
        ("Correct", "amount", lambda w: correct(w.credit, NANOS)),
        ("Recharge", "credits", lambda w: start(w, w.credit)),
    )
    for value in ("0", "-1", str(MAX_AMOUNT + 1), "1.5", 1)
}

MALFORMED: dict[str, Tell] = {
    "a charge below zero": lambda w: wire(settle(w.credit, w.held, 0), charge="-1"),
    "a margin above the charge": lambda w: wire(settle(w.credit, w.held, 0), margin="1"),
    "at_least above the amount": lambda w: hold(w, at_least=str(2 * NANOS)),
    "a hold of no time": lambda w: hold(w, hold_ms=0),
    "nine tags": lambda w: hold(w, tags={f"k{n}": "v" for n in range(9)}),
    "a long tag": lambda w: hold(w, tags={"k": "v" * 65}),
    "a person in a tag": lambda w: hold(w, tags={"k": "Jörg"}),
    "a fee without a schedule": lambda w: hold(w, fee={"currency": "USD", "minor": 1}),
    "a fee below zero": lambda w: hold(w, fee=FEE | {"minor": -1}),
    "25 kinds of usage": lambda w: wire(
        settle(w.credit, w.held, 0), usage={f"k{n}": 1 for n in range(25)}
    ),
    "a long note": lambda w: wire(grant(w.credit, NANOS), note="x" * 1001),
    "a long name": lambda w: wire(issue_key(w.credit, new_id("key"), w.soon), name="x" * 1001),
    "a message above 16 KiB": lambda w: wire(grant(w.credit, NANOS), note="x" * 17_000),
    "a reason in words": lambda w: wire(grant(w.credit, NANOS), reason_code="for Jane"),
    "an operator's grant without a reason": lambda w: wire(
        grant(w.credit, NANOS), reason_code=None
    ),
    "an import without a reason": lambda w: wire(
        grant(w.credit, NANOS), source="import", reason_code=None
    ),
    "a purchase without a payment": lambda w: wire(grant(w.credit, NANOS), source="purchase"),
    "a recharge without its attempt": lambda w: wire(
        grant(w.credit, NANOS),
        source="recharge",
        payment="pi_2",
        paid={"currency": "USD", "minor": 1},
    ),
    "a subscription without its end": lambda w: wire(grant(w.credit, NANOS), source="subscription"),
    "credits from nowhere": lambda w: wire(grant(w.credit, NANOS), source="initial"),
    "a claim of nothing": lambda w: wire(clawback(w.credit, "pi_1", 0, 1, DISPUTE), paid=0),
    "more returned than paid": lambda w: wire(
        clawback(w.credit, "pi_1", 1, 1, DISPUTE), returned=2
    ),
    "a freeze in words": lambda w: wire(
        command(c.FreezeAccount, w.credit, {"reason": "manual"}), reason="because"
    ),
    "eleven alerts": lambda w: wire(limits(w), alerts=list(range(1, 12))),
    "an alert above all": lambda w: wire(limits(w), alerts=[101]),
    "no such unit": lambda w: wire(open_account(account_in(0)), unit="credits"),
}

DECLINED: dict[str, tuple[Tell, str, str | None]] = {
    "not whole: initial": (
        lambda _: open_account(account_in(0), unit="CREDIT", initial=HALF), "not_integral",
        "initial",
    ),
    "not whole: grant": (lambda w: grant(w.credit, HALF), "not_integral", "amount"),
    "not whole: hold": (
        lambda w: reserve(w.credit, w.key, NANOS + HALF, w.soon, at_least=NANOS), "not_integral",
        "amount",
    ),
    "not whole: at_least": (lambda w: hold(w, at_least=str(HALF)), "not_integral", "at_least"),
    "not whole: extension": (
        lambda w: extend(w, w.held, 6 * NANOS + HALF), "not_integral", "total",
    ),
    "not whole: used": (
        lambda w: extend(w, w.held, 6 * NANOS, HALF), "not_integral", "used_so_far",
    ),
    "not whole: charge": (lambda w: settle(w.credit, w.held, HALF), "not_integral", "charge"),
    "not whole: refund": (lambda w: refund(w.credit, w.settled, HALF), "not_integral", "amount"),
    "not whole: correction": (lambda w: correct(w.credit, HALF), "not_integral", "amount"),
    "not whole: claim": (
        lambda w: command(
            c.Clawback, w.credit, {"payment": "pi_1", "cause": DISPUTE, "amount": HALF}
        ),
        "not_integral", "amount",
    ),
    "not whole: cap": (
        lambda w: issue_key(w.credit, new_id("key"), w.soon, cap_day=HALF), "not_integral",
        "cap_day",
    ),
    "not whole: limit": (lambda w: limits(w, month=HALF), "not_integral", "month"),
    "not whole: threshold": (lambda w: configure(w, threshold=HALF), "not_integral", "threshold"),
    "unknown account": (lambda _: grant(account_in(0), NANOS), "unknown_account", None),
    "unknown key": (
        lambda w: reserve(w.credit, new_id("key"), NANOS, w.soon), "unknown_key", None,
    ),
    "another account's key": (
        lambda w: reserve(w.credit, w.usd_key, NANOS, w.soon), "unknown_key", None,
    ),
    "revoking no key": (lambda w: revoke(w.credit, new_id("key")), "unknown_key", "key_id"),
    "rotating no key": (
        lambda w: issue_key(w.credit, new_id("key"), w.soon, rotates=w.usd_key), "unknown_key",
        "rotates",
    ),
    "settling nothing": (
        lambda w: settle(w.credit, new_id("req"), NANOS), "unknown_reservation", None,
    ),
    "settling another's": (
        lambda w: settle(w.credit, w.foreign, NANOS), "unknown_reservation", None,
    ),
    "releasing another's": (
        lambda w: release(w.credit, w.foreign), "unknown_reservation", None,
    ),
    "extending another's": (
        lambda w: extend(w, w.foreign, 2 * NANOS), "unknown_reservation", None,
    ),
    "expiring another's": (
        lambda w: expire(w.credit, w.foreign), "unknown_reservation", None,
    ),
    "expiring too early": (lambda w: expire(w.credit, w.held), "unknown_reservation", None),
    "reserving with another's id": (
        lambda w: reserve(w.credit, w.key, NANOS, w.soon, res=w.foreign), "unknown_reservation",
        "caller_id",
    ),
    "refunding another's": (
        lambda w: refund(w.credit, w.foreign, NANOS), "unknown_reservation", None,
    ),
    "refunding what was released": (
        lambda w: refund(w.credit, w.released, NANOS), "refund_exceeds_charge", None,
    ),
    "refunding more than was charged": (
        lambda w: refund(w.credit, w.settled, 4 * NANOS), "refund_exceeds_charge", None,
    ),
    "correcting no grant": (
        lambda w: correct(w.credit, NANOS, grant_no=99), "unknown_grant", None,
    ),
    "correcting more than there is": (
        lambda w: correct(w.credit, 900 * NANOS), "insufficient_balance", None,
    ),
    "claiming an unknown payment": (
        lambda w: clawback(w.credit, "pi_9", 1, 1, DISPUTE), "unknown_payment", None,
    ),
    "claiming another grant": (
        lambda w: command(
            c.Clawback, w.credit,
            {"payment": "pi_1", "grant_no": 9, "cause": DISPUTE, "returned": 1, "paid": 1},
        ),
        "unknown_grant", "grant_no",
    ),
    "reversing no claim": (lambda w: reverse(w.credit, DISPUTE), "unknown_cause", None),
    "lifting no freeze": (
        lambda w: command(c.UnfreezeAccount, w.credit, {"reason": "manual"}), "unknown_cause",
        "reason",
    ),
    "failing no attempt": (lambda w: fail(w.credit, new_id("rchg")), "unknown_attempt", None),
    "failing another's attempt": (lambda w: fail(w.usd, w.attempt), "unknown_attempt", None),
    "a second attempt": (lambda w: start(w, w.credit), "recharge_open", None),
    "dollars bought with euros": (
        lambda w: start(w, w.usd, price={"currency": "EUR", "minor": 100}), "unit_mismatch",
        "price",
    ),
    "a price no row can hold": (
        lambda w: start(w, w.usd, price={"currency": "USD", "minor": 10**15}), "not_integral",
        "price",
    ),
    "a grant that is over": (
        lambda w: grant(w.credit, NANOS, expires_at=w.bench.at), "grant_expired", "expires_at",
    ),
    "a key that is over": (
        lambda w: issue_key(w.credit, new_id("key"), w.soon, expires_at=w.bench.at), "key_expired",
        "expires_at",
    ),
    "too late": (
        lambda w: reserve(w.credit, w.key, NANOS, w.bench.at - timedelta(milliseconds=1)),
        "deadline_passed", None,
    ),
    "closing what is not empty": (
        lambda w: command(c.CloseAccount, w.credit, {"write_off": True, "reason_code": "x"}),
        "account_not_empty", "open_attempt",
    ),
}  # fmt: skip

CONFLICTS: dict[str, tuple[Tell, str]] = {
    "another unit": (lambda w: open_account(w.usd, unit="EUR"), "fingerprint"),
    "another initial": (lambda w: open_account(w.usd, initial=5), "fingerprint"),
    "settled otherwise": (lambda w: settle(w.credit, w.settled, 2 * NANOS), "fingerprint"),
    "settled with another margin": (
        lambda w: settle(w.credit, w.settled, 3 * NANOS, margin=1), "fingerprint",
    ),
    "held otherwise": (
        lambda w: reserve(w.credit, w.key, 6 * NANOS, w.soon, res=w.held), "fingerprint",
    ),
    "held with a fee": (
        lambda w: reserve(w.credit, w.key, 5 * NANOS, w.soon, res=w.held, fee=FEE), "fingerprint",
    ),
    "released after its charge": (lambda w: release(w.credit, w.settled), "settled"),
    "charged after its release": (lambda w: settle(w.credit, w.released, NANOS), "released"),
    "extended after its charge": (lambda w: extend(w, w.settled, 9 * NANOS), "settled"),
}  # fmt: skip


async def unchanged(world: World, told: "c.Command | bytes") -> tuple[str, str | None, str | None]:
    """The answer; the log and the rows of the two accounts are as they were."""
    before = await standing(world)
    said = await answer(world.bench, told)
    assert await standing(world) == before
    return said


async def standing(world: World) -> list[Any]:
    query = "select count(*), max(position) from ledger.events where partition = 0"
    rows = "select * from ledger.accounts order by account_id"
    return [
        tuple(await world.bench.connection.fetchrow(query)),
        await world.bench.connection.fetch(rows),
        world.bench.writer.position,
    ]


pytestmark = pytest.mark.requirement("RSV-3")


@pytest.mark.requirement("CRD-1")
@pytest.mark.parametrize("case", OUT_OF_BOUNDS | MALFORMED)
async def test_what_breaks_a_bound_is_malformed(world, case):
    told = (OUT_OF_BOUNDS | MALFORMED)[case](world)
    assert await unchanged(world, told) == ("Malformed", None, None)


@pytest.mark.requirement("ACC-1", "CRD-7")
@pytest.mark.parametrize("case", DECLINED)
async def test_what_breaks_a_rule_is_declined_by_its_code(world, case):
    tell, code, parameter = DECLINED[case]
    assert await unchanged(world, tell(world)) == ("Declined", code, parameter)


@pytest.mark.parametrize("case", CONFLICTS)
async def test_what_contradicts_the_log_is_a_conflict(world, case):
    tell, code = CONFLICTS[case]
    assert await unchanged(world, tell(world)) == ("Conflict", code, None)


@pytest.mark.requirement("CRD-1")
async def test_a_balance_too_large_for_a_row_is_declined(world):
    account = account_in(0)
    replies = await world.bench.run(open_account(account), grant(account, MAX_AMOUNT))
    assert replies[1]["reply"] == "Granted"
    too_much = grant(account, MAX_AMOUNT)
    assert await unchanged(world, too_much) == ("Declined", "not_integral", "amount")


async def test_an_unknown_reservation_is_waited_for_until_its_deadline(world):
    early = release(world.credit, new_id("req"), reserve_deadline=world.soon)
    assert await unchanged(world, early) == ("Retry", None, None)
