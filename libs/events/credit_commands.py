"""Commands that move credits in: grants, refunds and clawbacks."""

from typing import ClassVar, Literal

from libs.events.command_base import ADMIN_ONLY, MONEY_ONLY, CommandData, Undated
from libs.events.fields import (
    AttemptId,
    ClawbackCause,
    Flag,
    FreeText,
    GrantNo,
    Instant,
    Minor,
    Months,
    Name,
    Nanos,
    Paid,
    Priority,
    ReasonCode,
    Reference,
    ReservationId,
    Sha256,
)
from libs.events.subjects import ADMIN, MONEY


class GrantCreditsData(CommandData):
    facts: ClassVar = (
        "source",
        "amount",
        "priority",
        "shelf_months",
        "expires_at",
        "paid",
        "payment",
        "attempt_id",
    )

    source: Literal["purchase", "recharge", "subscription", "reward", "x402", "admin", "import"]
    amount: Nanos
    priority: Priority
    shelf_months: Months | None = None
    expires_at: Instant | None = None
    paid: Paid | None = None
    payment: Reference | None = None
    pack: Name | None = None
    attempt_id: AttemptId | None = None
    catalogue: Sha256 | None = None
    reason_code: ReasonCode | None = None
    note: FreeText | None = None


class GrantCredits(Undated):
    """Add a lot of credits. What was bought comes by money, what was given by admin."""

    senders: ClassVar = frozenset({MONEY, ADMIN})

    kind: Literal["GrantCredits"] = "GrantCredits"
    data: GrantCreditsData


class RefundData(CommandData):
    facts: ClassVar = ("res", "amount", "whole")

    res: ReservationId
    amount: Nanos
    whole: Flag
    reason_code: ReasonCode
    note: FreeText | None = None


class Refund(Undated):
    """Give credits back after a charge, never more than was charged."""

    senders: ClassVar = ADMIN_ONLY
    caller_form: ClassVar = "refund:{res}:{n}"

    kind: Literal["Refund"] = "Refund"
    data: RefundData


class ClawbackData(CommandData):
    """Either `returned` of `paid` (minor units, cumulative) or an `amount` of nanos."""

    facts: ClassVar = ("payment", "grant_no", "cause", "returned", "paid", "amount")

    payment: Reference | None = None
    grant_no: GrantNo | None = None
    cause: ClawbackCause
    returned: Minor | None = None
    paid: Minor | None = None
    amount: Nanos | None = None


class Clawback(Undated):
    """Take purchased credits back because the money went back, or correct downwards."""

    senders: ClassVar = frozenset({MONEY, ADMIN})

    kind: Literal["Clawback"] = "Clawback"
    data: ClawbackData


class ReverseClawbackData(CommandData):
    facts: ClassVar = ("cause",)

    cause: ClawbackCause


class ReverseClawback(Undated):
    """Restore what one cause took."""

    senders: ClassVar = MONEY_ONLY
    caller_form: ClassVar = "reverse:{cause}"

    kind: Literal["ReverseClawback"] = "ReverseClawback"
    data: ReverseClawbackData
