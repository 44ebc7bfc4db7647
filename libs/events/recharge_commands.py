"""Commands of automatic recharge."""

from typing import ClassVar, Literal

from pydantic import Field

from libs.events.command_base import (
    MONEY_ONLY,
    RECHARGE_ONLY,
    CommandData,
    Dated,
    Undated,
)
from libs.events.fields import (
    AttemptId,
    Basis,
    Consent,
    FailureClass,
    Flag,
    Name,
    Nanos,
    NanosOrZero,
    Paid,
    ReasonCode,
    Reference,
)
from libs.events.subjects import ADMIN, MONEY, USE


class ConfigureRechargeData(CommandData):
    """`threshold` and `amount` in the account's unit, caps in the price's currency; nanos."""

    facts: ClassVar = (
        "enabled",
        "threshold",
        "basis",
        "amount",
        "pack",
        "cap_charge",
        "cap_day",
        "cap_month",
    )

    enabled: Flag
    threshold: NanosOrZero
    basis: Basis
    amount: NanosOrZero
    pack: Name | None = None
    cap_charge: Nanos | None = None
    cap_day: Nanos | None = None
    cap_month: Nanos | None = None
    consent: Consent | None = None


class ConfigureRecharge(Undated):
    """Set when and by how much the account is topped up by itself."""

    senders: ClassVar = frozenset({USE, ADMIN})

    kind: Literal["ConfigureRecharge"] = "ConfigureRecharge"
    data: ConfigureRechargeData


class StartRechargeData(CommandData):
    facts: ClassVar = ("attempt_id", "credits", "price")

    attempt_id: AttemptId
    credits: Nanos
    price: Paid
    trigger: Reference


class StartRecharge(Dated):
    """Ask for an attempt to be opened; the ledger alone admits it."""

    senders: ClassVar = RECHARGE_ONLY
    caller_form: ClassVar = "{attempt_id}"

    kind: Literal["StartRecharge"] = "StartRecharge"
    data: StartRechargeData


class RecordRechargeFailureData(CommandData):
    facts: ClassVar = ("attempt_id", "class_")

    attempt_id: AttemptId
    class_: FailureClass = Field(alias="class")
    code: ReasonCode | None = None
    payment: Reference | None = None


class RecordRechargeFailure(Undated):
    """Close an attempt whose payment is known to have failed."""

    senders: ClassVar = MONEY_ONLY
    caller_form: ClassVar = "failed:{attempt_id}"

    kind: Literal["RecordRechargeFailure"] = "RecordRechargeFailure"
    data: RecordRechargeFailureData


class ResumeRechargeData(CommandData):
    facts: ClassVar = ("reason",)

    reason: Literal["card_changed", "paid", "operator"]


class ResumeRecharge(Undated):
    """Let a suspended recharge try again."""

    senders: ClassVar = frozenset({USE, ADMIN, MONEY})

    kind: Literal["ResumeRecharge"] = "ResumeRecharge"
    data: ResumeRechargeData
