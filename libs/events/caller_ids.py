"""How the caller ids of commands are made, and whether one is made so.

A caller id that is derived from what the command is about makes a second command about the same
thing the same command: at most one Settle of a reservation is ever accepted.
"""

import re
from functools import cache
from typing import Final

from libs.events.commands import COMMANDS, Command

_FIELD: Final = re.compile(r"\{(\w+)\}")
_NUMBER: Final = "(?:0|[1-9][0-9]{0,9})"


def caller_id_problem(command: Command) -> str | None:
    """What is wrong with the caller id of a command, None when nothing is."""
    form = command.caller_form
    if not form:
        return None
    fields = _fields(command.kind)
    if "n" not in fields:
        expected = form.format(**_values(command, fields))
        return None if command.caller_id == expected else f"caller_id must be {form}"
    values = {name: re.escape(text) for name, text in _values(command, fields).items()}
    if re.fullmatch(form.format(**values, n=_NUMBER), command.caller_id):
        return None
    return f"caller_id must be {form}"


@cache
def _fields(kind: str) -> tuple[str, ...]:
    return tuple(_FIELD.findall(COMMANDS[kind].caller_form))


def _values(command: Command, fields: tuple[str, ...]) -> dict[str, str]:
    return {
        name: command.account_id if name == "account_id" else str(getattr(command.data, name))
        for name in fields
        if name != "n"
    }
