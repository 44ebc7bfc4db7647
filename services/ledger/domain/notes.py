"""Free text by a person stands beside the log, erasable; the log only names it."""

from typing import NamedTuple

from libs.events.commands import Command
from services.ledger.domain.derived import derived_id


class Note(NamedTuple):
    note_id: str
    account_id: str
    kind: str
    text: str


TEXTS = {
    "OpenAccount": ("external_id", "external_id"),
    "IssueKey": ("name", "key_name"),
    "GrantCredits": ("note", "note"),
    "Refund": ("note", "note"),
    "CloseAccount": ("note", "note"),
    "FreezeAccount": ("note", "note"),
    "UnfreezeAccount": ("note", "note"),
}
"""Kinds of command that carry a text: the field it stands in, and what it is.

Looked up by kind: isinstance on a pydantic class costs a microsecond, on every command.
"""


def note_of(command: Command) -> Note | None:
    """The text a command carries, None when it carries none."""
    field = TEXTS.get(command.kind)
    if field is None:
        return None
    text = getattr(command.data, field[0])
    if not text:
        return None
    name = f"{command.account_id}:{command.kind}:{command.caller_id}"
    return Note(derived_id("note", name), command.account_id, field[1], text)


def note_id(command: Command) -> str | None:
    note = note_of(command)
    return note.note_id if note else None
