"""Where an account stands: what is known of it, and the end of its event chain."""

from typing import Final, final

from services.ledger.domain.state import Account


@final
class Slot:
    """An account and the end of its event chain; no account for a partition's own stream.

    `version` counts its events, `head` is the hash of the last one, `position` its place.
    """

    __slots__ = ("account", "head", "position", "version")

    def __init__(self, account: Account | None, version: int, head: bytes, position: int) -> None:
        self.account: Final = account
        self.version: Final = version
        self.head: Final = head
        self.position: Final = position


EMPTY: Final = Slot(None, 0, bytes(32), 0)
"""Of what has no event yet."""
