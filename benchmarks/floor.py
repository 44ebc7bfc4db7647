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
from urllib.parse import urlsplit

import asyncpg
import orjson
import uvloop

from benchmarks.crowd import Crowd
from farebox.bench.commands import Reserves

SUBJECT = b"ledger.queries.0.echo"
BODY_BYTES = 850
"""As large as the event of a Reserve."""


class Echo(asyncio.Protocol):
    """Answers every message on SUBJECT with its own bytes."""

    def __init__(self, password: str) -> None:
        self._login = {"user": "reader", "pass": password, "verbose": False, "lang": "bench",
                       "version": "1", "protocol": 1, "headers": False}  # fmt: skip
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]
        self._write(b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n" % (orjson.dumps(self._login), SUBJECT))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        start = 0
        while (end := buffer.find(b"\r\n", start)) >= 0:
            line = buffer[start:end]
            start = end + 2
            if line.startswith(b"MSG"):
                _, _, _, reply, size = line.split(b" ")
                after = start + int(size) + 2
                if len(buffer) < after:
                    start = end - len(line)
                    break
                body = buffer[start : after - 2]
                self._write(b"PUB %b %d\r\n%b\r\n" % (reply, len(body), body))
                start = after
            elif line == b"PING":
                self._write(b"PONG\r\n")
            elif line == b"PONG":
                print("ready", flush=True)
            elif line.startswith(b"-ERR"):
                sys.exit(line.decode())
        self._buffer = buffer[start:]


async def echo(url: str) -> None:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    password = os.environ["READER_PASSWORD"]
    await loop.create_connection(lambda: Echo(password), parts.hostname, parts.port)
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
