"""One round of load on one side, and what it cost."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.gateway.peers import Side
from benchmarks.installation import ROOT
from benchmarks.usage import Meter

_ASKED: Final[dict[str, Any]] = {
    "model": "swift-1",
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "How does a prepaid fare work? " * 10}],
}


@dataclass(frozen=True)
class Round:
    """`cpu_us`: microseconds of CPU for each request (JSON) or event (stream), by process."""

    side: str
    shape: str
    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float
    first_byte_p50_ms: float
    first_byte_p99_ms: float
    requests: int
    warm_requests: int
    events: int
    cpu_us: dict[str, float]
    beside_us: dict[str, float]
    memory_mb: float


class FailedError(Exception):
    """A side did not answer 200 to everything; its text."""


def play(side: Side, shape: str, clients: int, seconds: float) -> Round:
    """Load a side and read its CPU at both ends. Raises FailedError."""
    body = json.dumps(_ASKED | {"model": side.model, "stream": shape == "stream"})
    plan = {
        "host": "127.0.0.1", "port": side.port, "path": side.path, "headers": dict(side.headers),
        "body": body, "clients": clients, "seconds": seconds,
    }  # fmt: skip
    meter = Meter({**side.cpu, **side.beside})
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway.load"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        warm = process.stdout.readline()
        if warm != "warm\n":
            raise FailedError(f"{side.name}: {json.loads(warm).get('failed')}")
        meter.start()
        process.stdin.write("go\n")
        process.stdin.flush()
        made = json.loads(process.stdout.readline())
    used = meter.used()
    if "failed" in made:
        raise FailedError(f"{side.name}: {made['failed']}")
    each = made["events"] if shape == "stream" else made["requests"]
    cost = {name: round(seconds * 1e6 / each, 1) for name, seconds in used.items()}
    return Round(
        side=side.name,
        shape=shape,
        clients=clients,
        per_second=round(made["per_second"], 1),
        p50_ms=made["p50_ms"],
        p99_ms=made["p99_ms"],
        first_byte_p50_ms=made["first_byte_p50_ms"],
        first_byte_p99_ms=made["first_byte_p99_ms"],
        requests=made["requests"],
        warm_requests=made["warm_requests"],
        events=made["events"],
        cpu_us={name: cost[name] for name in side.cpu},
        beside_us={name: cost[name] for name in side.beside},
        memory_mb=round(sum(_memory_mb(pid) for pid in side.cpu.values()), 1),
    )


def _memory_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    return own + sum(_memory_mb(int(child)) for child in children)
