"""Where an account stands: two answers of the ledger, read into one value."""

from collections.abc import Mapping
from typing import Any, Protocol

from libs.events.times import from_text
from services.recharge.policy import Policy, Standing


class Queries(Protocol):
    """The part of the command client that is used here."""

    async def query(self, name: str, data: dict[str, Any], *, account_id: str) -> Mapping[str, Any]:
        """Return the ledger's answer; raises LedgerUnavailable and QueryFailed."""


async def ask_standing(ledger: Queries, account_id: str, min_position: int) -> Standing:
    """What the ledger says about an account, not older than the event at `min_position`.

    Raises LedgerUnavailable, and QueryFailed for an account it does not know.
    """
    balance = await ledger.query(
        "balance", {"account_id": account_id, "min_position": min_position}, account_id=account_id
    )
    recharge = await ledger.query("recharge", {"account_id": account_id}, account_id=account_id)
    return read_standing(balance["data"], recharge["data"])


def read_standing(balance: Mapping[str, Any], recharge: Mapping[str, Any]) -> Standing:
    """One standing of the two answers' data."""
    attempt, next_at = recharge["open_attempt"], recharge["next_at"]
    return Standing(
        unit=balance["unit"],
        plan=balance["plan"],
        status=balance["status"],
        available=int(balance["available"]),
        reserved=int(balance["reserved"]),
        armed=bool(balance["armed"]),
        policy=_policy(recharge["policy"]),
        open_attempt=attempt["attempt_id"] if attempt else None,
        next_at=from_text(next_at) if next_at else None,
        suspended=bool(recharge["suspended"]),
    )


def _policy(data: Mapping[str, Any] | None) -> Policy | None:
    if data is None:
        return None
    caps = data["caps"]
    return Policy(
        enabled=data["enabled"],
        threshold=int(data["threshold"]),
        basis=data["basis"],
        amount=int(data["amount"]),
        pack=data["pack"],
        cap_charge=_cap(caps["charge"]),
        cap_day=_cap(caps["day"]),
        cap_month=_cap(caps["month"]),
    )


def _cap(text: str | None) -> int | None:
    return None if text is None else int(text)
