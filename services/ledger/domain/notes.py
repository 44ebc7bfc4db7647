"""Free text by a person stands beside the log, erasable; the log only names it."""

from typing import NamedTuple

from libs.events.commands import (
    Command,
    FreezeAccount,
    GrantCredits,
    IssueKey,
    OpenAccount,
    UnfreezeAccount,
)
from services.ledger.domain.derived import derived_id


class Note(NamedTuple):
    note_id: str
    account_id: str
    kind: str
    text: str


def note_of(command: Command) -> Note | None:
    """The text a command carries, None when it carries none."""
    text, kind = _text(command)
    if not text:
        return None
    name = f"{command.account_id}:{command.kind}:{command.caller_id}"
    return Note(derived_id("note", name), command.account_id, kind, text)


def note_id(command: Command) -> str | None:
    note = note_of(command)
    return note.note_id if note else None


def _text(command: Command) -> tuple[str | None, str]:
    match command:
        case OpenAccount():
            return command.data.external_id, "external_id"
        case IssueKey():
            return command.data.name, "key_name"
        case GrantCredits() | FreezeAccount() | UnfreezeAccount():
            return command.data.note, "note"
        case _:
            return None, ""
