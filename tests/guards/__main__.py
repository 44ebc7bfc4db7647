"""`python -m tests.guards [NAME…]`: remove each guard in a copy; its test must go red.

A guard whose test stays green is one that nobody would miss: exit status 1.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from tests.guards.guard import ROOT, Guard, guards

FAILED = 1
"""pytest's exit status when tests ran and some failed; any other status proves nothing."""


def copied_tree(target: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def run_test(root: Path, test: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", test],
        cwd=root, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def _a_test_failed(said: str) -> bool:
    """Whether a test itself failed: an error before it began proves nothing."""
    last = said.strip().splitlines()[-1] if said.strip() else ""
    return re.search(r"\b[1-9]\d* failed\b", last) is not None


def judge(guard: Guard, root: Path) -> str | None:
    """What is wrong with a guard, None when its test went red without it in the copy `root`."""
    problem = guard.problem(root)
    if problem:
        return problem
    guard.remove(root)
    try:
        outcome = run_test(root, guard.test)
    finally:
        shutil.copy2(ROOT / guard.file, root / guard.file)
    if outcome.returncode == FAILED and _a_test_failed(outcome.stdout):
        return None
    if outcome.returncode == 0:
        return f"{guard.name}: {guard.test} stays green without it"
    return (
        f"{guard.name}: {guard.test} did not run: {outcome.stdout[-2000:]}{outcome.stderr[-500:]}"
    )


def timed(guard: Guard, copies: SimpleQueue[Path]) -> tuple[Guard, str | None, float]:
    began, root = time.monotonic(), copies.get()
    try:
        return guard, judge(guard, root), time.monotonic() - began
    finally:
        copies.put(root)


def main(names: list[str]) -> int:
    chosen = [guard for guard in guards() if not names or guard.name in names]
    at_once = os.cpu_count() or 1
    with contextlib.ExitStack() as stack:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(at_once):  # each with servers of its own, and byte code that stays
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-guard-"))
            copies.put(copied_tree(Path(folder)))
        failed = told(chosen, copies, stack.enter_context(ThreadPoolExecutor(at_once)))
    sys.stdout.write(f"{len(chosen) - failed} guards hold, {failed} missed\n")
    return 1 if failed or not chosen else 0


def told(chosen: list[Guard], copies: SimpleQueue[Path], pool: ThreadPoolExecutor) -> int:
    """Say of each guard what became of its test; how many were missed."""
    failed = 0
    for done in as_completed(pool.submit(timed, guard, copies) for guard in chosen):
        guard, problem, took_s = done.result()
        failed += problem is not None
        word = "MISSED" if problem else "red   "
        sys.stdout.write(f"{word} {guard.name} ({took_s:.0f} s)\n")
        if problem:
            sys.stdout.write(f"       {problem}\n")
        sys.stdout.flush()
    return failed


sys.exit(main(sys.argv[1:]))
