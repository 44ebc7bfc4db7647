"""Load on one HTTP server from a process of its own: clients that ask again when they are answered.

Reads a JSON plan from stdin, writes a JSON result to stdout. A request counts when it was answered
200 to its end within the time; any other answer ends the load with its text.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

import uvloop

_WARM_S: Final = 0.5


@dataclass
class Plan:
    """`headers` are sent as they are; the same body every time."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    body: str
    clients: int
    seconds: float

    def request(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", f"host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += ["content-type: application/json", f"content-length: {len(self.body.encode())}"]
        return "\r\n".join([*lines, "", self.body]).encode()


@dataclass
class Taken:
    """Milliseconds of whole answers and of their first byte; events of streams."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    events: int = 0


class Client(asyncio.Protocol):
    """One connection that sends the request again and again until the time is up."""

    def __init__(self, request: bytes, until: float, taken: Taken) -> None:
        self._request = request
        self._until = until
        self._taken = taken
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        self._buffer = b""
        self._head: bytes | None = None
        self._first = 0.0
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self._fail(self._buffer.decode(errors="replace")[:600])
                return
            self._head, self._buffer = head.lower(), rest
            length = self._head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._length = int(length) if length else None
        if self._buffer and not self._first:
            self._first = time.perf_counter()
        if self._ended():
            self._count()

    def _ended(self) -> bool:
        if self._length is not None:
            return len(self._buffer) >= self._length
        return self._buffer.endswith(b"0\r\n\r\n")

    def _count(self) -> None:
        now = time.perf_counter()
        self._taken.whole.append((now - self._began) * 1000)
        self._taken.first.append((self._first - self._began) * 1000)
        self._taken.events += self._buffer.count(b"data: ")
        if now < self._until:
            self._ask()
        else:
            self._end()

    def _fail(self, text: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(text))
        self._transport.close()

    def _end(self) -> None:
        self.done.set_result(None)
        self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the server closed the connection"))


async def load(plan: Plan) -> dict[str, Any]:
    """Warm up, then load for `seconds`; what is under way at the end is waited for and counts."""
    warm = Taken()
    await _run(plan, _WARM_S, warm)
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    taken = Taken()
    began = time.perf_counter()
    await _run(plan, plan.seconds, taken)
    took = time.perf_counter() - began
    return {
        "requests": len(taken.whole),
        "warm_requests": len(warm.whole),
        "per_second": len(taken.whole) / took,
        "events": taken.events,
        "p50_ms": _percentile(taken.whole, 50),
        "p99_ms": _percentile(taken.whole, 99),
        "first_byte_p50_ms": _percentile(taken.first, 50),
        "first_byte_p99_ms": _percentile(taken.first, 99),
        "took_s": took,
    }


async def _run(plan: Plan, seconds: float, taken: Taken) -> None:
    loop, request = asyncio.get_running_loop(), plan.request()
    until = time.perf_counter() + seconds
    clients = [Client(request, until, taken) for _ in range(plan.clients)]
    for client in clients:
        await loop.create_connection(lambda c=client: c, plan.host, plan.port)
    await asyncio.gather(*(client.done for client in clients))


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3)


def main() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    try:
        result = uvloop.run(load(plan))
    except RuntimeError as error:
        result = {"failed": str(error)}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
