"""Freezes: each has a named reason, and the account is frozen while any reason stands."""

from libs.events.commands import FreezeAccount, UnfreezeAccount
from services.ledger.domain.draft import Draft
from services.ledger.domain.notes import note_id
from services.ledger.domain.state import Account, Data, Declined

MAX_NAMED = 100
"""How many of the reasons that still stand an event names."""


def decide_freeze(draft: Draft, command: FreezeAccount) -> Declined | None:
    data = command.data
    draft.add("AccountFrozen", {"reason": data.reason, "note_id": note_id(command)})
    if data.revoke_keys:
        for key in draft.account.keys.values():
            if not key.revoked:
                draft.add("KeyRevoked", {"key_id": key.key_id, "reason_code": "freeze"})
    return None


def decide_unfreeze(draft: Draft, command: UnfreezeAccount) -> Declined | None:
    reason = command.data.reason
    freezes = draft.account.freezes
    if reason not in freezes:
        return Declined("unknown_cause", parameter="reason")
    still = [other for other in freezes if other != reason][:MAX_NAMED]
    draft.add("AccountUnfrozen", {"reason": reason, "still": still})
    return None


def evolve_frozen(account: Account, data: Data) -> Account:
    if data["reason"] in account.freezes:
        return account
    return account._replace(freezes=(*account.freezes, data["reason"]))


def evolve_unfrozen(account: Account, data: Data) -> Account:
    still = tuple(other for other in account.freezes if other != data["reason"])
    return account._replace(freezes=still)
