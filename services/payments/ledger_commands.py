"""The two commands that payments sends, made so that one fact is always one command."""

from libs.events.commands import GrantCredits, RecordRechargeFailure
from libs.events.credit_commands import GrantCreditsData
from libs.events.fields import Paid
from libs.events.recharge_commands import RecordRechargeFailureData
from services.payments.declines import FailureClass
from services.payments.due import Due

PRIORITY = 100
"""Bought credits burn after those that were given: lower numbers burn first."""


def grant(due: Due, payment_intent: str) -> GrantCredits:
    """Credit what was paid. Its id is the payment: the same one can never credit twice."""
    return GrantCredits(
        caller_id=f"topup:{payment_intent}",
        account_id=due.account_id,
        correlation_id=due.row_id,
        data=GrantCreditsData(
            source=due.source,
            amount=due.credits,
            priority=PRIORITY,
            shelf_months=due.shelf_months,
            expires_at=None,
            paid=Paid(currency=due.currency, minor=due.price),
            payment=payment_intent,
            pack=due.pack,
            attempt_id=due.attempt_id,
            catalogue=due.catalogue,
            reason_code=None,
            note=None,
        ),
    )


def failure(
    account_id: str, attempt_id: str, kind: FailureClass, code: str, payment_intent: str | None
) -> RecordRechargeFailure:
    """Close a recharge attempt whose payment can no longer succeed."""
    return RecordRechargeFailure(
        caller_id=f"failed:{attempt_id}",
        account_id=account_id,
        correlation_id=attempt_id,
        data=RecordRechargeFailureData(
            attempt_id=attempt_id, class_=kind, code=code, payment=payment_intent
        ),
    )
