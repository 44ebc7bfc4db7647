"""How fast the ledger process fills an empty stream from its log, NATS syncing every batch."""

import time
from statistics import median
from typing import Any

import httpx

from benchmarks.installation import Installation
from benchmarks.rounds import Void
from benchmarks.usage import Meter

EVENTS = 200_000
PATIENCE_S = 120
LOOK_S = 0.05


def measure(installation: Installation, repeats: int) -> dict[str, Any]:
    """Relay the last `EVENTS` of the log into an empty stream, some times; the median counts."""
    rounds = [_round(installation) for _ in range(repeats)]
    return {
        "relay_events_per_s": round(median(made["per_second"] for made in rounds)),
        "rounds": rounds,
        "events": EVENTS,
        "jetstream": _jetstream(installation),
    }


def _round(installation: Installation) -> dict[str, float]:
    first = max(1, _end(installation) - EVENTS + 1)
    installation.stop()
    installation.renew_stream(first)
    meter = Meter({
        "ledger": installation.start("ledger"),
        "nats": installation.stack.nats.pid, "postgres": installation.stack.postgres.pid,
    })  # fmt: skip
    end = _end(installation)  # its first start has published what the load sells by
    began, before = _wait(installation, 1)
    meter.start()
    ended, after = _wait(installation, end - first + 1)
    cpu = meter.used()
    last, count = installation.stream_end()
    if (last, count) != (end, end - first + 1):
        raise Void(f"the stream ends at {last} with {count} messages, the log at {end}")
    installation.stop()
    relayed = after - before
    return {
        "per_second": relayed / (ended - began),
        "relayed": relayed,
        "bytes_per_event": _bytes(installation, first),
        **{f"cpu_us_{name}": used / relayed * 1e6 for name, used in cpu.items()},
    }


def _end(installation: Installation) -> int:
    return int(installation.sql("select max(position) from ledger.events"))


def _wait(installation: Installation, count: int) -> tuple[float, int]:
    """When it was seen that so many events had been relayed, and how many they were."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        relayed = installation.metric("ledger", "ledger_relayed_total")
        now = time.monotonic()
        if relayed >= count:
            return now, relayed
        if now > deadline:
            raise Void(f"{relayed} events relayed after {PATIENCE_S} s")
        time.sleep(LOOK_S)


def _bytes(installation: Installation, first: int) -> float:
    query = "select avg(length(body))::float from ledger.events where position >= $1"
    return float(installation.sql(query, first))


def _jetstream(installation: Installation) -> dict[str, Any]:
    """The server's own word on how it syncs."""
    port = installation.stack.nats.monitor_port
    answer = httpx.get(f"http://127.0.0.1:{port}/jsz?config=true").json()
    return {"sync_always": answer["config"].get("sync_always")}
