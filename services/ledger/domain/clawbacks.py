"""Purchased credits taken back: what a grant still holds, never more than it gave."""

from services.ledger.domain.grants import earliest_expiry, shift
from services.ledger.domain.state import Account, Data


def evolve_clawed(account: Account, data: Data) -> Account:
    amount = int(data["amount"])
    grants = shift(account.grants, ((data["grant_no"], -amount),), ()) if amount else account.grants
    return account._replace(
        available=account.available - amount, grants=grants, next_expiry=earliest_expiry(grants)
    )
