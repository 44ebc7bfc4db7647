"""Rules between the fields of one command, beyond what each field allows by itself."""

from libs.events.commands import Clawback, Command, Reserve, Settle


def rule_problem(command: Command) -> str | None:
    """What contradicts itself in a command, None when nothing does."""
    if isinstance(command, Reserve):
        return None if command.data.at_least <= command.data.amount else "at_least above amount"
    if isinstance(command, Settle):
        return None if command.data.margin <= command.data.charge else "margin above charge"
    if isinstance(command, Clawback):
        return _clawback_problem(command)
    return None


def _clawback_problem(command: Clawback) -> str | None:
    data = command.data
    if data.amount is not None:
        if data.returned is None and data.paid is None:
            return None
        return "either amount, or returned and paid"
    if data.returned is None or data.paid is None:
        return "either amount, or returned and paid"
    if data.payment is None:
        return "returned and paid need a payment"
    return None if data.paid >= 1 and data.returned <= data.paid else "returned above paid"
