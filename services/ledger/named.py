"""What a command names beside its account, so that it is at hand when the command is decided."""

from libs.events.commands import Command
from services.ledger.command_key import CommandKey, key_of

NAME_RESERVATIONS = frozenset(
    {"Extend", "Settle", "Release", "Attach", "Detach", "ExpireReservation", "Refund"}
)
VERSION, DERIVED = len("req_") + 12, "8"
"""Where the version of a reservation's uuid stands, and that of a uuid made from a hash."""
PLAIN = frozenset({"Reserve", "Extend", "Settle", "Release", "Attach", "Detach"})
"""What is decided by its account and an open hold alone, unless `is_derived`: no lots, no past."""
NEED_LOTS = frozenset({"Refund", "Clawback", "ReverseClawback"})


def start_key(command: Command) -> CommandKey | None:
    """The command that opened the recharge attempt whose failure this one records."""
    if command.kind != "RecordRechargeFailure":
        return None
    attempt_id: str = command.data.attempt_id  # type: ignore[attr-defined]
    return key_of(attempt_id, "StartRecharge", command.account_id)


def named_reservation(command: Command) -> str | None:
    """The reservation a command is about, None when it is about none that should be open."""
    if command.kind not in NAME_RESERVATIONS:
        return None
    res: str = command.data.res  # type: ignore[attr-defined]
    return res


def is_derived(command: Command) -> bool:
    """Whether it opens a reservation whose id was made from a client's words (uuid8), not drawn.

    Only such an id can come a second time from somebody else: it is looked up in the log, where
    the commands of other accounts are. (A drawn one is new, and would pay for nothing.)
    """
    return command.kind == "Reserve" and command.caller_id[VERSION] == DERIVED
