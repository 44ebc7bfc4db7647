from collections.abc import Callable

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
from services.ledger.domain.state import Account, Data, Event, State

MOVES_UP = {
    "CreditsGranted",
    "CreditsCharged",
    "CreditsReleased",
    "ReservationExpired",
    "CreditsRefunded",
    "ClawbackReversed",
}
"""Events that can raise the balance, so that the threshold may be armed again."""


def evolve(state: State, event: Event) -> State:
    """The state after an event. Dispatch only: what an event does stands with its noun."""
    if event.type == "AccountOpened":
        return State(accounts.evolve_opened(event.account_id, event.data))
    account = state.account
    if account is None:
        raise LookupError(f"{event.type} on an account that was never opened")
    change = ON_STATE.get(event.type)
    if change is not None:
        after = change(state, account, event.data)
    elif event.type == "RechargeStarted":
        started = recharge.evolve_started(account, event.data, event.occurred_at)
        after = state.with_account(started)
    else:
        after = state.with_account(ON_ACCOUNT[event.type](account, event.data))
    if event.type in MOVES_UP and after.account is not None and after.account.armed is False:
        at_once = event.type == "CreditsGranted"
        after = after.with_account(recharge.rearmed(after.account, at_once=at_once))
    return after


def _granted(account: Account, data: Data) -> Account:
    return recharge.evolve_recharged(grants.evolve_granted(account, data), data)


ON_STATE: dict[str, Callable[[State, Account, Data], State]] = {
    "CreditsReserved": reservations.evolve_reserved,
    "ReservationExtended": reservations.evolve_extended,
    "CreditsCharged": charges.evolve_charged,
    "CreditsReleased": reservations.evolve_returned,
    "ReservationExpired": reservations.evolve_returned,
    "CallAttached": calls.evolve_attached,
    "CallDetached": calls.evolve_detached,
    "CreditsRefunded": refunds.evolve_refunded,
    "ClawbackReversed": clawbacks.evolve_reversed,
}

ON_ACCOUNT: dict[str, Callable[[Account, Data], Account]] = {
    "AccountFrozen": freezes.evolve_frozen,
    "AccountUnfrozen": freezes.evolve_unfrozen,
    "AccountClosed": accounts.evolve_closed,
    "PlanChanged": accounts.evolve_plan,
    "SpendLimitsSet": spending.evolve_limits,
    "KeyIssued": keys.evolve_issued,
    "KeyRevoked": keys.evolve_revoked,
    "CreditsGranted": _granted,
    "CreditsExpired": grants.evolve_expired,
    "CreditsClawedBack": clawbacks.evolve_clawed,
    "RechargeConfigured": recharge.evolve_configured,
    "BalanceFellBelowThreshold": lambda account, _: recharge.evolve_fell(account),
    "RechargeFailed": recharge.evolve_failed,
    "RechargeResumed": lambda account, _: recharge.evolve_resumed(account),
}
