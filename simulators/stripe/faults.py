"""Faults that a test orders for the next calls."""

import asyncio
from dataclasses import dataclass

KINDS = frozenset({"drop_before", "drop_after", "hang_after", "429", "500", "500_after"})


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` calls of `method` whose path contains `path`.

    drop_before: the connection breaks, nothing was executed. drop_after: it was executed, the
    answer is lost. hang_after: it was executed, the answer waits until `clear`. 429 and 500:
    refused, nothing was executed. 500_after: it was executed, the caller gets a 500, which its
    Idempotency-Key then keeps.
    """

    method: str
    path: str
    kind: str
    times: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; one of {', '.join(sorted(KINDS))}")


class Faults:
    def __init__(self) -> None:
        self._ordered: list[Fault] = []
        self.hanging = 0
        self._cleared = asyncio.Event()

    def add(self, method: str, path: str, kind: str, times: int = 1) -> None:
        self._ordered.append(Fault(method, path, kind, times))

    def clear(self) -> None:
        """Forget what was ordered and let go what hangs."""
        self._ordered.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def hang(self) -> None:
        """Wait for `clear`."""
        self.hanging += 1
        await self._cleared.wait()

    def take(self, method: str, path: str) -> str | None:
        """The kind of fault for this call, used up once."""
        for fault in self._ordered:
            if fault.method == method and fault.path in path:
                fault.times -= 1
                if fault.times == 0:
                    self._ordered.remove(fault)
                return fault.kind
        return None
