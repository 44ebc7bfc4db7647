"""How an account and an open reservation stand in their rows' `state`: small canonical JSON."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from sys import intern
from typing import Any

import orjson

from libs.events.codec import load_event
from libs.events.times import to_text
from services.ledger.domain.catalogues import Term
from services.ledger.domain.grants import from_data
from services.ledger.domain.reservations import plain_hold
from services.ledger.domain.state import (
    Account,
    Attempt,
    Call,
    Counter,
    Due,
    Grant,
    Key,
    Limits,
    Lot,
    Recharge,
    Reservation,
)


def account_state(account: Account) -> bytes:
    """What the columns do not say: freezes, grants, recharge, and what is due if anything is."""
    recharge, counters = account.recharge, account.counters
    state = {
        "freezes": account.freezes,
        "grants": [
            (no, available, reserved, priority, expires_at, source, payment)
            for no, source, available, reserved, priority, expires_at, payment in account.grants
        ],
        "next_grant_no": account.next_grant_no,
        "catalogue": account.catalogue,
        "recharge": _recharge_state(recharge) if recharge else None,
        "limits": account.limits and tuple(account.limits),
        "counters": {name: tuple(c) for name, c in counters.items()} if counters else {},
    }
    if account.dues:
        state["dues"] = {str(no): tuple(due) for no, due in account.dues.items()}
    return orjson.dumps(state)


def _recharge_state(recharge: Recharge) -> dict[str, Any]:
    state = recharge._asdict()
    state["attempt"] = recharge.attempt._asdict() if recharge.attempt else None
    return state


def account_of(
    row: Mapping[str, Any], account_id: str, keys: Iterable[Mapping[str, Any]]
) -> Account:
    """The account as its row and its keys' rows say."""
    state = orjson.loads(row["state"])
    recharge = state["recharge"]
    if recharge is not None:
        attempt = recharge["attempt"]
        recharge = Recharge(**{**recharge, "attempt": Attempt(**attempt) if attempt else None})
    return Account(
        account_id=account_id,
        unit=intern(row["unit"]),  # of many accounts alike: kept once, and near at hand
        plan=intern(row["plan"]),
        closed=row["status"] == "closed",
        available=row["available"],
        reserved=row["reserved"],
        freezes=tuple(state["freezes"]),
        grants=tuple(
            Grant(no, intern(source), available, reserved, priority, expires_at, payment)
            for no, available, reserved, priority, expires_at, source, payment in state["grants"]
        ),
        next_grant_no=state["next_grant_no"],
        keys={key.key_id: key for key in map(_key_of, keys)},
        armed=row["armed"],
        recharge=recharge,
        next_expiry=_time(row["next_expiry"]),
        catalogue=state["catalogue"],
        limits=Limits(*state["limits"]) if state["limits"] else None,
        counters={name: Counter(*values) for name, values in state["counters"].items()},
        dues={int(no): Due(*values) for no, values in state.get("dues", {}).items()},
    )


def _key_of(row: Mapping[str, Any]) -> Key:
    allowed = row["allowed"]
    return Key(
        key_id=f"key_{row['key_id'].hex}",
        lineage=f"key_{row['lineage'].hex}",
        purpose=intern(row["purpose"]),
        allowed=tuple(allowed) if allowed is not None else None,
        expires_at=_time(row["expires_at"]),
        revoked=row["status"] == "revoked",
        cap_total=row["cap_total"],
        cap_day=row["cap_day"],
        cap_month=row["cap_month"],
    )


def lot_of(row: Any) -> Lot:
    causes = orjson.loads(row["causes"])
    return Lot(
        no=row["grant_no"],
        source=row["source"],
        priority=row["priority"],
        expires_at=_time(row["expires_at"]),
        payment=row["payment"],
        granted=row["granted"],
        clawed=row["clawed"],
        shortfall=row["shortfall"],
        causes=tuple(sorted(causes.items())),
    )


def term_of(row: Mapping[str, Any]) -> Term:
    return Term(to_text(row["effective_from"]), _time(row["withdrawn_from"]))


def _time(at: datetime | None) -> str | None:
    return to_text(at) if at is not None else None


def reservation_state(reservation: Reservation) -> bytes:
    *values, calls = reservation
    return orjson.dumps((*values, [tuple(call) for call in calls]))


def reservation_of(account_id: str, state: bytes | None, body: bytes | None) -> Reservation:
    """An open hold from its row's state, else from the body of the event that opened it."""
    if state is None:
        if body is None:
            raise LookupError(f"an open hold of {account_id} without its event")
        data = load_event(body)["data"]
        taken = from_data(data["from"])
        return plain_hold(account_id, data, int(data["amount"]), taken, limited=False)
    values = orjson.loads(state)
    values[5] = tuple((no, part) for no, part in values[5])
    if len(values) == len(Reservation._fields):  # rows of older versions end before the calls
        values[-1] = tuple(Call(*call) for call in values[-1])
    return Reservation(*values)
