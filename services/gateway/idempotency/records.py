"""What this worker remembers of requests with an Idempotency-Key, within bounds of memory."""

from collections import OrderedDict
from dataclasses import dataclass

from libs.runtime import metrics
from libs.runtime.clock import Clock
from services.gateway.idempotency.answers import OVERHEAD, Answer
from services.gateway.idempotency.naming import Asked


@dataclass(frozen=True, slots=True)
class Record(Asked):
    """Who asked for what; the try that runs, or comes next; the answer, when it is final."""

    attempt: int
    request_id: str
    answer: Answer | None = None

    @property
    def size(self) -> int:
        return OVERHEAD if self.answer is None else self.answer.size


class Records:
    """By name, which is the id of the first try. Those that run are never forgotten.

    Of the others the oldest go: when they are older than `keep_s` seconds, or take more than
    `most` bytes together.
    """

    def __init__(self, clock: Clock, *, most: int, keep_s: float) -> None:
        self._clock = clock
        self._most = most
        self._keep_s = keep_s
        self._running: dict[str, Record] = {}
        self._ended: OrderedDict[str, tuple[float, Record]] = OrderedDict()
        self.size = 0
        """Bytes that those take that have ended."""
        metrics.gauge(
            "idempotency_kept_bytes",
            "Memory of the answers kept for repeats of requests.",
            read=lambda: self.size,
        )

    def running(self, name: str) -> Record | None:
        return self._running.get(name)

    def ended(self, name: str) -> Record | None:
        """One that does not run: its answer is final, or it has none and may be tried again."""
        self._sweep()
        found = self._ended.get(name)
        return None if found is None else found[1]

    def begin(self, name: str, record: Record) -> None:
        self._drop(name)
        self._running[name] = record

    def end(self, name: str, record: Record) -> None:
        self._running.pop(name, None)
        self._drop(name)
        if record.answer is None and record.attempt == 0:
            return  # as if it was never asked for: who has no money pushes nobody's answers out
        self._ended[name] = self._clock.monotonic(), record
        self.size += record.size
        self._sweep()

    def _sweep(self) -> None:
        oldest_at = self._clock.monotonic() - self._keep_s
        while self._ended:
            name, (at, _) = next(iter(self._ended.items()))
            if at > oldest_at and self.size <= self._most:
                return
            self._drop(name)

    def _drop(self, name: str) -> None:
        ended = self._ended.pop(name, None)
        if ended is not None:
            self.size -= ended[1].size
