from typing import Final, final

from libs.events.commands import Command
from services.ledger.command_key import CommandKey


@final
class Pending:
    """A decoded command and where its reply goes (None: nobody waits)."""

    __slots__ = ("command", "fingerprint", "key", "reply_to")

    def __init__(
        self, command: Command, key: CommandKey, fingerprint: bytes, reply_to: str | None
    ) -> None:
        self.command: Final = command
        self.key: Final = key
        self.fingerprint: Final = fingerprint
        self.reply_to: Final = reply_to
