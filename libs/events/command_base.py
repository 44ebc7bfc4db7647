"""What every command is: the envelope, who may send it, what makes two of them the same."""

from typing import ClassVar, Final

from libs.events.fields import (
    AccountId,
    CallerId,
    First,
    Instant,
    Message,
    Reference,
    Traceparent,
)
from libs.events.subjects import ADMIN, MONEY, RECHARGE, USE

USE_ONLY: Final = frozenset({USE})
ADMIN_ONLY: Final = frozenset({ADMIN})
MONEY_ONLY: Final = frozenset({MONEY})
RECHARGE_ONLY: Final = frozenset({RECHARGE})
INTERNAL: Final = frozenset[str]()


class CommandData(Message):
    """What a command asks for.

    `facts` are the fields that decide: a repeat under the same caller id must have them equal
    to get the first answer again. `newer` are those that senders of an older version do not send.
    """

    facts: ClassVar[tuple[str, ...]] = ()
    newer: ClassVar[frozenset[str]] = frozenset()


class Command(Message):
    """An order to the ledger, known by (caller_id, kind, account_id) and answered once.

    `senders` are the subject classes it is accepted on; none: only the ledger itself sends it.
    `caller_form` is how its caller id is made, with the names of data fields (or account_id) in
    braces and `{n}` for a number; empty: any text.
    """

    senders: ClassVar[frozenset[str]] = INTERNAL
    caller_form: ClassVar[str] = ""

    kind: str
    kind_version: First = 1
    caller_id: CallerId
    account_id: AccountId
    deadline: Instant | None = None
    correlation_id: Reference
    causation: Reference | None = None
    traceparent: Traceparent | None = None
    data: CommandData


class Undated(Command):
    """A command that is right however late it comes."""

    deadline: None = None


class Dated(Command):
    """A command that takes: refused after its deadline, which is in ledger time."""

    deadline: Instant
