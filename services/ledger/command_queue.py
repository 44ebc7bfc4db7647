import asyncio
from collections import deque
from collections.abc import Callable

from services.ledger.pending import Pending

CLOSES = {"Settle", "Release"}
EXPIRIES_A_BATCH = 50
EXPIRY_PATIENCE_S = 5.0


class CommandQueue:
    """What waits for the writer. Expiries wait apart: a queued Settle or Release goes first."""

    def __init__(self, ceiling: int, monotonic: Callable[[], float]) -> None:
        self.ceiling = ceiling
        self._monotonic = monotonic
        self._commands: deque[Pending] = deque()
        self._expiries: deque[tuple[float, Pending]] = deque()
        self._closing = 0
        self._wake = asyncio.Event()
        self.listener: Callable[[], None] | None = None
        """Told when a command is queued, while somebody would take it at once."""
        self._ahead: list[Pending] = []
        """The beginning of the next batch, if it was decided before that is taken."""

    def __len__(self) -> int:
        """Commands that wait, those of which somebody decided ahead too."""
        return len(self._commands) + len(self._ahead)

    @property
    def empty(self) -> bool:
        return not self._commands and not self._expiries and not self._ahead

    def put(self, pending: Pending) -> None:
        self._commands.append(pending)
        if pending.command.kind in CLOSES:
            self._closing += 1
        self._wake.set()
        if self.listener is not None:
            self.listener()

    def first(self) -> Pending | None:
        """The next command to decide ahead; None when none waits, or the next batch is full."""
        if not self._commands or len(self._ahead) >= self.ceiling:
            return None
        return self._commands[0]

    def pass_first(self) -> None:
        """Have the first command begin the next batch: the one after it is the first from now on.

        Raises IndexError when none waits.
        """
        self._ahead.append(self._pop())

    def _pop(self) -> Pending:
        pending = self._commands.popleft()
        if pending.command.kind in CLOSES:
            self._closing -= 1
        return pending

    def put_expiry(self, pending: Pending) -> None:
        self._expiries.append((self._monotonic(), pending))
        self._wake.set()

    def take(self) -> list[Pending]:
        """The next batch: commands in their order, then expiries if nothing is about to close.

        Expiries come last, so a Settle of the same batch beats them. While more Settles wait than
        fit into a batch expiries wait too, though not for ever.
        """
        batch, self._ahead = self._ahead, []
        while self._commands and len(batch) < self.ceiling:
            batch.append(self._pop())
        if self._expiries and (self._closing == 0 or self._impatient()):
            due = min(EXPIRIES_A_BATCH, len(self._expiries))
            batch.extend(self._expiries.popleft()[1] for _ in range(due))
        return batch

    def _impatient(self) -> bool:
        return self._monotonic() - self._expiries[0][0] > EXPIRY_PATIENCE_S

    async def wait(self) -> None:
        """Until something is queued, or `wake` is called."""
        if self.empty:
            self._wake.clear()
            await self._wake.wait()

    def wake(self) -> None:
        self._wake.set()
