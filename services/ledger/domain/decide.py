from collections.abc import Callable
from typing import Any, cast

from libs.events.commands import Command, OpenAccount
from services.ledger.domain import account as accounts
from services.ledger.domain import (
    calls,
    charges,
    clawbacks,
    freezes,
    grants,
    keys,
    recharge,
    refunds,
    reservations,
    spending,
)
from services.ledger.domain.draft import Draft
from services.ledger.domain.evolve import evolve
from services.ledger.domain.state import (
    Accepted,
    Conflict,
    Decision,
    Declined,
    Moment,
    Refusal,
    State,
)

Handler = Callable[[Draft, Any], Refusal | None]


def decide(state: State, command: Command, now: Moment) -> Decision:
    """What a command does to a state at a moment: at least one event, or a refusal.

    Pure, and dispatch only: the rules of a command stand with its noun. Raises LookupError for a
    kind this version does not build; `is_built` tells beforehand.
    """
    if command.deadline is not None and now.at > command.deadline:
        return Declined("deadline_passed")
    draft = Draft(state, command.account_id, now, evolve)
    if command.kind == "OpenAccount":
        if state.account is not None:
            return Conflict("fingerprint", None)
        declined = accounts.decide_open(draft, cast("OpenAccount", command))
        return declined or Accepted(tuple(draft.events), draft.state)
    if state.account is None:
        return Declined("unknown_account")
    grants.expire_due(draft, "shelf")
    refusal = HANDLERS[command.kind](draft, command)
    if refusal is not None:
        return refusal
    if draft.account.dues:
        clawbacks.collect(draft)
    grants.expire_due(draft, "returned")
    recharge.watch(draft)
    return Accepted(tuple(draft.events), draft.state)


HANDLERS: dict[str, Handler] = {
    "ChangePlan": accounts.decide_plan,
    "CloseAccount": accounts.decide_close,
    "SetSpendLimits": spending.decide_limits,
    "FreezeAccount": freezes.decide_freeze,
    "UnfreezeAccount": freezes.decide_unfreeze,
    "IssueKey": keys.decide_issue,
    "RevokeKey": keys.decide_revoke,
    "GrantCredits": grants.decide_grant,
    "ExpireGrant": grants.decide_expiry,
    "Reserve": reservations.decide_reserve,
    "Extend": reservations.decide_extend,
    "Settle": charges.decide_settle,
    "Release": reservations.decide_release,
    "Attach": calls.decide_attach,
    "Detach": calls.decide_detach,
    "Refund": refunds.decide_refund,
    "Clawback": clawbacks.decide_clawback,
    "ReverseClawback": clawbacks.decide_reverse,
    "ExpireReservation": reservations.decide_expiry,
    "ConfigureRecharge": recharge.decide_configure,
    "StartRecharge": recharge.decide_start,
    "RecordRechargeFailure": recharge.decide_failure,
    "ResumeRecharge": recharge.decide_resume,
}


def is_built(kind: str) -> bool:
    return kind in {"OpenAccount", "PublishCatalogue"} or kind in HANDLERS
