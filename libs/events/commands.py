"""The closed list of commands. The ledger knows these and no others."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.events.account_commands import (
    ChangePlan,
    ChangePlanData,
    CloseAccount,
    CloseAccountData,
    FreezeAccount,
    FreezeAccountData,
    IssueKey,
    IssueKeyData,
    OpenAccount,
    OpenAccountData,
    RevokeKey,
    RevokeKeyData,
    SetSpendLimits,
    SetSpendLimitsData,
    UnfreezeAccount,
    UnfreezeAccountData,
)
from libs.events.command_base import Command, CommandData, Dated, Undated
from libs.events.credit_commands import (
    Clawback,
    ClawbackData,
    GrantCredits,
    GrantCreditsData,
    Refund,
    RefundData,
    ReverseClawback,
    ReverseClawbackData,
)
from libs.events.ledger_commands import (
    ExpireGrant,
    ExpireGrantData,
    ExpireReservation,
    ExpireReservationData,
    PublishCatalogue,
    PublishCatalogueData,
    StartIncarnation,
    StartIncarnationData,
)
from libs.events.recharge_commands import (
    ConfigureRecharge,
    ConfigureRechargeData,
    RecordRechargeFailure,
    RecordRechargeFailureData,
    ResumeRecharge,
    ResumeRechargeData,
    StartRecharge,
    StartRechargeData,
)
from libs.events.spend_commands import (
    Attach,
    AttachData,
    Detach,
    DetachData,
    Extend,
    ExtendData,
    Release,
    ReleaseData,
    Reserve,
    ReserveData,
    Settle,
    SettleData,
)
from libs.events.subjects import ADMIN, MONEY

__all__ = [
    "CLASSES",
    "COMMANDS",
    "KIND_CODES",
    "KIND_NAMES",
    "Attach",
    "AttachData",
    "ChangePlan",
    "ChangePlanData",
    "Clawback",
    "ClawbackData",
    "CloseAccount",
    "CloseAccountData",
    "Command",
    "CommandData",
    "ConfigureRecharge",
    "ConfigureRechargeData",
    "Dated",
    "Detach",
    "DetachData",
    "ExpireGrant",
    "ExpireGrantData",
    "ExpireReservation",
    "ExpireReservationData",
    "Extend",
    "ExtendData",
    "FreezeAccount",
    "FreezeAccountData",
    "GrantCredits",
    "GrantCreditsData",
    "IssueKey",
    "IssueKeyData",
    "OpenAccount",
    "OpenAccountData",
    "PublishCatalogue",
    "PublishCatalogueData",
    "RecordRechargeFailure",
    "RecordRechargeFailureData",
    "Refund",
    "RefundData",
    "Release",
    "ReleaseData",
    "Reserve",
    "ReserveData",
    "ResumeRecharge",
    "ResumeRechargeData",
    "ReverseClawback",
    "ReverseClawbackData",
    "RevokeKey",
    "RevokeKeyData",
    "SetSpendLimits",
    "SetSpendLimitsData",
    "Settle",
    "SettleData",
    "StartIncarnation",
    "StartIncarnationData",
    "StartRecharge",
    "StartRechargeData",
    "Undated",
    "UnfreezeAccount",
    "UnfreezeAccountData",
    "allowed_class",
    "needs_deadline",
]

_IN_ORDER: Final[tuple[type[Command], ...]] = (
    OpenAccount,
    ChangePlan,
    CloseAccount,
    FreezeAccount,
    UnfreezeAccount,
    IssueKey,
    RevokeKey,
    SetSpendLimits,
    GrantCredits,
    Reserve,
    Extend,
    Settle,
    Release,
    Attach,
    Detach,
    Refund,
    Clawback,
    ReverseClawback,
    ConfigureRecharge,
    StartRecharge,
    RecordRechargeFailure,
    ResumeRecharge,
    PublishCatalogue,
    ExpireReservation,
    ExpireGrant,
    StartIncarnation,
)

COMMANDS: Final[dict[str, type[Command]]] = {cls.__name__: cls for cls in _IN_ORDER}
KIND_CODES: Final[dict[str, int]] = {kind: code for code, kind in enumerate(COMMANDS, start=1)}
"""What stands in the commands table: the order above is frozen, new kinds go to its end."""
KIND_NAMES: Final[dict[int, str]] = {code: kind for kind, code in KIND_CODES.items()}
CLASSES: Final[dict[str, frozenset[str]]] = {kind: cls.senders for kind, cls in COMMANDS.items()}

_GIVEN: Final = frozenset({"admin", "import"})
_CORRECTIONS: Final = frozenset({"adjustment", "write_off"})


# By kind and not by isinstance, which is slow on a pydantic class.
_BY_OPERATOR: Final[Mapping[str, Callable[[Any], bool]]] = {
    "GrantCredits": lambda data: data.source in _GIVEN,
    "Clawback": lambda data: data.cause in _CORRECTIONS,
}


def allowed_class(command: Command, cls: str) -> bool:
    """Whether the command may come on a subject of this class.

    What was paid for is granted and clawed back by money alone, what an operator gives or
    corrects by admin alone.
    """
    by_operator = _BY_OPERATOR.get(command.kind)
    if by_operator is None:
        return cls in command.senders
    return cls == (ADMIN if by_operator(command.data) else MONEY)


def needs_deadline(kind: str) -> bool:
    """Whether the kind takes something, so that it must not be obeyed late."""
    return issubclass(COMMANDS[kind], Dated)
