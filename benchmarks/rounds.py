"""One round of load on the ledger, by the rules that make it count."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.installation import ROOT, Installation
from benchmarks.usage import Meter

LAG_S = 5.0


class Void(Exception):
    """A round that must not count, and why."""


@dataclass(frozen=True)
class Round:
    """Times in milliseconds; CPU in microseconds and bytes per command."""

    side: str
    shape: str
    callers: int
    count: int
    per_second: float
    cpu_us: dict[str, float]
    wal_bytes: float
    mean_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    lag_s: float | None = None
    histogram_ms: dict[str, int] = field(default_factory=dict)
    """How many took at most so long, and longer than the entry before."""
    extra: dict[str, float] = field(default_factory=dict)


class Ours:
    def __init__(self, installation: Installation, pids: dict[str, int]) -> None:
        self._installation = installation
        self._meter = Meter({"postgres": installation.stack.postgres.pid,
                             "nats": installation.stack.nats.pid, **pids})  # fmt: skip
        self._logged: tuple[int, int] | None = None

    def round(
        self, shape: str, accounts: Path, callers: int, processes: int, seconds: float
    ) -> Round:
        """Raises Void when a command was declined, failed, or is not in the log."""
        installation = self._installation
        installation.checkpoint()
        before, self._logged = self._logged or installation.logged(), None
        wal = installation.wal()
        self._meter.start()
        reports = self._load(accounts, callers // processes, processes, seconds)
        lag = self._until_relayed()
        cpu = self._meter.used()  # after the relay has caught up: its work belongs to the round
        wal = installation.wal() - wal
        count = sum(int(report["count"]) for report in reports)
        self._logged = commands, events = installation.logged(before[1])
        stored = (commands - before[0], events - before[1])
        if stored != (count, count):
            raise Void(f"{count} replies, {stored[0]} commands and {stored[1]} events in the log")
        load = sum(float(report["cpu_s"]) for report in reports)
        return Round(
            side="farebox",
            shape=shape,
            callers=callers,
            count=count,
            per_second=count / max(float(report["seconds"]) for report in reports),
            cpu_us={name: s / count * 1e6 for name, s in {"load": load, **cpu}.items()},
            wal_bytes=wal / count,
            p50_ms=max(float(report["p50_ms"]) for report in reports),
            p99_ms=max(float(report["p99_ms"]) for report in reports),
            lag_s=lag,
            histogram_ms=added(report["histogram_ms"] for report in reports),
        )

    def _until_relayed(self) -> float:
        began = time.monotonic()
        while self._installation.lag() > 0:
            if time.monotonic() - began > LAG_S:
                raise Void(f"the relay is still behind after {LAG_S:g} s")
            time.sleep(0.02)
        return time.monotonic() - began

    def _load(
        self, accounts: Path, callers: int, processes: int, seconds: float
    ) -> list[dict[str, Any]]:
        stack = self._installation.stack
        command = [
            "benchmarks.load", "--url", stack.nats.url,
            "--accounts", str(accounts), "--callers", str(callers), "--seconds", str(seconds),
        ]  # fmt: skip
        return run_load(command, processes, {"GATEWAY_PASSWORD": stack.nats_password("gateway")})


def run_load(
    command: list[str], processes: int, environment: dict[str, str]
) -> list[dict[str, Any]]:
    """Start some processes of a module, let them begin together, and return what each reports.

    Each prints `ready`, waits for a line, and ends with one line of JSON. Raises Void.
    """
    running = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT, env={**os.environ, **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(processes)
    ]  # fmt: skip
    for process in running:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            _, err = process.communicate()
            raise Void(f"a load process did not start: {err.strip()[-500:]}")
    for process in running:
        if process.stdin is not None:
            process.stdin.write("go\n")
            process.stdin.flush()
    return [_report(process) for process in running]


def _report(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate()
    if process.returncode != 0:
        raise Void(err.strip()[-500:] or f"a load process ended with {process.returncode}")
    report: dict[str, Any] = json.loads(out)
    return report


def of_reports(reports: list[dict[str, Any]], *, side: str, callers: int, **more: Any) -> Round:
    """What load processes that began together report, as one round on many accounts."""
    count = sum(report["count"] for report in reports)
    return Round(
        side=side,
        shape="many",
        callers=callers,
        count=count,
        per_second=count / max(report["seconds"] for report in reports),
        p50_ms=max(report["p50_ms"] for report in reports),
        p99_ms=max(report["p99_ms"] for report in reports),
        histogram_ms=added(report["histogram_ms"] for report in reports),
        **more,
    )


def added(histograms: Iterable[dict[str, int]]) -> dict[str, int]:
    """Several histograms of the same edges as one."""
    total: Counter[str] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return dict(total)


def ratios(name: str, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """Round beside round, for what slows the machine for a minute slows both sides of a round.

    A ratio of medians may have its two sides from different minutes.
    """
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        f"{name}_ratio": round(median(each), 2),
        f"{name}_ratios": [round(ratio, 2) for ratio in each],
    }
