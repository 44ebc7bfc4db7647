"""What waits between the task that reads the upstream and the one that serves the client."""

import asyncio
from typing import Final

MOST_PIECES: Final = 64
MOST_BYTES: Final = 256 * 1024


class Pieces:
    """Bytes on their way from one writer to one reader, who takes all that waits at once.

    `full` from 64 pieces or 256 KiB on; at most one piece more than that ever waits.
    """

    def __init__(self) -> None:
        self.size = 0
        """Bytes that wait."""
        self._waiting: list[bytes] = []
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        return self.size >= MOST_BYTES or len(self._waiting) >= MOST_PIECES

    def add(self, piece: bytes) -> None:
        """Let a piece wait; the writer asks first whether it is full."""
        self._waiting.append(piece)
        self.size += len(piece)
        _wake(self._reader)

    def end(self) -> None:
        """Nothing follows."""
        self._ended = True
        _wake(self._reader)

    def clear(self) -> None:
        """Let go of what waits: nobody reads any more."""
        self._waiting.clear()
        self.size = 0
        _wake(self._writer)

    async def take(self) -> bytes | None:
        """All that waits, as soon as something does; None after the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        taken = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self.clear()
        return taken

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.full:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
