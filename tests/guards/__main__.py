"""`python -m tests.guards [NAME…]`: remove each guard in a copy; its test must go red.

A guard whose test stays green is one that nobody would miss: exit status 1.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.guards.guard import ROOT, Guard, guards

FAILED = 1
"""pytest's exit status when tests ran and some failed; any other status proves nothing."""


def copy_tree(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_test(root: Path, test: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", test],
        cwd=root, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def _a_test_failed(said: str) -> bool:
    """Whether a test itself failed: an error before it began proves nothing."""
    last = said.strip().splitlines()[-1] if said.strip() else ""
    return re.search(r"\b[1-9]\d* failed\b", last) is not None


def judge(guard: Guard) -> str | None:
    """What is wrong with a guard, None when its test went red without it."""
    problem = guard.problem(ROOT)
    if problem:
        return problem
    with tempfile.TemporaryDirectory(prefix="farebox-guard-") as folder:
        root = Path(folder)
        copy_tree(root)
        guard.remove(root)
        outcome = run_test(root, guard.test)
    if outcome.returncode == FAILED and _a_test_failed(outcome.stdout):
        return None
    if outcome.returncode == 0:
        return f"{guard.name}: {guard.test} stays green without it"
    return (
        f"{guard.name}: {guard.test} did not run: {outcome.stdout[-2000:]}{outcome.stderr[-500:]}"
    )


def timed(guard: Guard) -> tuple[Guard, str | None, float]:
    began = time.monotonic()
    return guard, judge(guard), time.monotonic() - began


def main(names: list[str]) -> int:
    chosen = [guard for guard in guards() if not names or guard.name in names]
    failed = 0
    # Each in a copy of its own, with servers of its own.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for told in as_completed(pool.submit(timed, guard) for guard in chosen):
            guard, problem, took_s = told.result()
            failed += problem is not None
            word = "MISSED" if problem else "red   "
            sys.stdout.write(f"{word} {guard.name} ({took_s:.0f} s)\n")
            if problem:
                sys.stdout.write(f"       {problem}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - failed} guards hold, {failed} missed\n")
    return 1 if failed or not chosen else 0


sys.exit(main(sys.argv[1:]))
