"""The least one caller can wait: a NATS echo between two processes, and a commit of one row.

    python -m benchmarks.floor echo --url …
    python -m benchmarks.floor measure --url … --seconds 3

Both ends of the echo speak the wire by themselves, as cheaply as load does. The commit is that of
asyncpg, a prepared statement awaited: what a service in Python cannot go below, not a C program.
"""

import argparse
import asyncio
import json
import os
import sys
import time

import asyncpg
import uvloop

from benchmarks.crowd import Crowd
from farebox.bench.commands import Reserves
from farebox.bench.wire import Wire

SUBJECT = b"ledger.queries.0.echo"
BODY_BYTES = 850
"""As large as the event of a Reserve."""


class Echo(Wire):
    """Answers every message on SUBJECT with its own bytes."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self.subscribes = SUBJECT

    def _fail(self, error: Exception) -> None:
        sys.exit(str(error))

    def delivered(self, fields: list[bytes], message: bytes) -> None:
        self._transport.write(b"PUB %b %d\r\n%b\r\n" % (fields[3], len(message), message))


async def echo(url: str) -> None:
    await Echo.connect(url, "reader", os.environ["READER_PASSWORD"])
    print("ready", flush=True)
    await asyncio.Event().wait()


async def measure(url: str, seconds: float) -> None:
    crowd = await Crowd.connect(url, "gateway", os.environ["GATEWAY_PASSWORD"])
    made = Reserves()
    head = made.head("0" * 32, "0" * 32)
    echoes = await crowd.run(1, seconds, lambda: (SUBJECT, made.make(head)), b'"kind":"Reserve"')
    crowd.close()
    commits = await _commits(seconds)
    report = {"echo_p50_ms": _median_ms(echoes), "commit_p50_ms": _median_ms(commits)}
    print(json.dumps(report), flush=True)


async def _commits(seconds: float) -> list[float]:
    connection = await asyncpg.connect(os.environ["FLOOR_DSN"])
    await connection.execute(
        "create table if not exists floor (id bigint generated always as identity primary key,"
        " body bytea)"
    )
    statement = await connection.prepare("insert into floor (body) values ($1)")
    body, times = os.urandom(BODY_BYTES), []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await statement.fetch(body)
        times.append(time.perf_counter() - began)
    await connection.close()
    return times


def _median_ms(times: list[float]) -> float:
    return sorted(times)[len(times) // 2] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["echo", "measure"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    if options.what == "echo":
        uvloop.run(echo(options.url))
    else:
        uvloop.run(measure(options.url, options.seconds))


if __name__ == "__main__":
    main()
