"""The fold of composite work: the calls that ran under a hold, and what bounded them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from services.ledger.replay_state import Account, Hold

if TYPE_CHECKING:
    from services.ledger.replay import Fold

Data = Mapping[str, Any]


def attached(fold: "Fold", account: Account, _event: Data, data: Data) -> None:
    hold = open_hold(fold, account, data)
    if hold is None:
        return
    if data["call_id"] in hold.calls:
        fold.found("data.call_id", data["call_id"], "a call that was never attached")
    bound, ceiling = int(data["cost_bound"]), hold.ceiling or 0
    cost = bound + sum(b if c is None else c for b, _, c in hold.calls.values())
    if hold.ceiling is None or cost > ceiling:
        fold.found("attached calls stay within the ceiling", cost, hold.ceiling)
    if data["until"] > hold.expires_at:
        fold.found("data.until", data["until"], f"≤ {hold.expires_at}")
    hold.calls[data["call_id"]] = bound, data["until"], None


def detached(fold: "Fold", account: Account, _event: Data, data: Data) -> None:
    hold = open_hold(fold, account, data)
    if hold is None:
        return
    bound, until, cost = hold.calls.get(data["call_id"], (0, "", 0))
    if cost is not None:
        fold.found("data.call_id", data["call_id"], "a call that is attached")
    hold.calls[data["call_id"]] = bound, until, int(data["cost"])


def open_hold(fold: "Fold", account: Account, data: Data) -> Hold | None:
    hold = fold.holds.get(data["res"])
    if hold is None or hold.account_id != account.account_id:
        fold.found("data.res", data["res"], "an open reservation of this account")
        return None
    return hold


def calls_ended(fold: "Fold", event: Data, data: Data) -> None:
    """A settlement or release waits for the calls that run under the hold."""
    hold = fold.holds.get(data["res"])
    for call, (_, until, cost) in hold.calls.items() if hold else ():
        if cost is None and until > event["occurred_at"]:
            found = f"{call} until {until}"
            fold.found("a reservation outlasts its calls", found, event["occurred_at"])
