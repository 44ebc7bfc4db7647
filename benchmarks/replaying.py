"""How fast `farebox audit verify` checks, hashes, chains and folds a log, on one core."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.installation import ROOT, Installation
from benchmarks.rounds import Void
from benchmarks.usage import Meter

PATIENCE_S = 600


def measure(installation: Installation, repeats: int) -> dict[str, Any]:
    """Verify the log alone; raises Void when it differs from the tables."""
    rounds = [verify(installation, "--no-projections") for _ in range(repeats)]
    return {
        "replay_events_per_s": round(median(made["log_per_second"] for made in rounds)),
        "rounds": rounds,
    }


def with_projections(installation: Installation, repeats: int) -> dict[str, Any]:
    """Also make statement and receipts anew, and compare them with what the reader has made."""
    installation.start("reader")
    began, at_first = time.monotonic(), installation.behind()
    while (behind := installation.behind()) > 0:
        if time.monotonic() - began > PATIENCE_S:
            raise Void(f"the reader is {behind} events behind after {PATIENCE_S} s")
        time.sleep(0.2)
    took = time.monotonic() - began
    installation.stop()
    rounds = [verify(installation) for _ in range(repeats)]
    return {
        "replay_with_projections_per_s": round(median(made["per_second"] for made in rounds)),
        "projected_per_s": round(at_first / took) if at_first else None,
        "rounds": rounds,
    }


def verify(installation: Installation, *options: str) -> dict[str, float]:
    """One run of the command; it and its session of Postgres share one core."""
    postgres = installation.stack.postgres.pid
    meter = Meter({"postgres": postgres})
    meter.start()
    with _one_core(postgres):
        done = subprocess.run(
            [sys.executable, "-m", "farebox.main", "audit", "verify", "--json", *options],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "FAREBOX_DATABASE_URL": installation.dsn("auditor")},
        )  # fmt: skip
    if done.returncode != 0:
        raise Void(f"the filled log does not verify: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    report = json.loads(done.stdout)
    return {
        "events": report["events"],
        "log_per_second": report["events"] / report["log_seconds"],
        "per_second": report["events"] / report["seconds"],
        "log_seconds": report["log_seconds"],
        "seconds": report["seconds"],
        "cpu_us_postgres": meter.used()["postgres"] / report["events"] * 1e6,
    }


@contextmanager
def _one_core(*pids: int) -> Iterator[None]:
    """Keep this process and some others on one core; what they start meanwhile stays there."""
    before = {pid: os.sched_getaffinity(pid) for pid in (0, *pids)}
    core = {max(before[0])}
    try:
        for pid in before:
            os.sched_setaffinity(pid, core)
        yield
    finally:
        for pid, cores in before.items():
            os.sched_setaffinity(pid, cores)
