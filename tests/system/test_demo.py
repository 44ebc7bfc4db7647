"""The demo holds when all is well, and names the step when one thing is broken on purpose."""

import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.support.process import ROOT

AT_ONCE = 2
PATIENCE_S = 150
FAILING_STEPS = {
    "no_top_up": "The owner buys a $10 pack on the hosted page",
    "wrong_charge": "A chat completion is charged at cost + 10 %",
    "tampered_event": "farebox audit verify proves the log, the chain and the balances",
}

pytestmark = [pytest.mark.timeout(2 * PATIENCE_S), pytest.mark.requirement("OPS-1")]


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """The demo without a fault and with each of them, two at a time."""
    folder = tmp_path_factory.mktemp("demos")

    def run(fault: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "farebox.main", "demo", "--data", folder / (fault or "whole")],
            cwd=ROOT,
            env={**os.environ, "FAREBOX_DEMO_EXIT": "1", "FAREBOX_DEMO_FAULT": fault},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        started: dict[str, Future[subprocess.CompletedProcess[str]]] = {
            fault: pool.submit(run, fault) for fault in ("", *FAILING_STEPS)
        }
        yield started


def steps(text):
    return re.findall(r"^ ?\d+\. (.*)$", text, re.MULTILINE)


def test_every_step_holds_and_the_exports_are_printed(demos):
    demo = demos[""].result()
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Every step held" in demo.stdout
    assert set(FAILING_STEPS.values()) < set(steps(demo.stdout))
    assert "✓" in demo.stdout
    assert re.search(
        r"^export OPENAI_BASE_URL=http://127\.0\.0\.1:\d+/v1$", demo.stdout, re.MULTILINE
    )
    assert re.search(r"^export OPENAI_API_KEY=fb_\d+_\S{43}$", demo.stdout, re.MULTILINE)


@pytest.mark.parametrize(("fault", "step"), FAILING_STEPS.items())
def test_a_fault_ends_it_at_the_step_that_notices(demos, fault, step):
    demo = demos[fault].result()
    assert demo.returncode == 1, demo.stdout + demo.stderr
    assert re.search(rf"^FAILED: step \d+ \({re.escape(step)}\): ", demo.stderr, re.MULTILINE)
    assert steps(demo.stdout)[-1] == step
    assert "Every step held" not in demo.stdout
    assert "export OPENAI" not in demo.stdout


def test_a_fault_that_does_not_exist_is_refused(tmp_path):
    demo = subprocess.run(
        [sys.executable, "-m", "farebox.main", "demo", "--data", tmp_path / "none"],
        cwd=ROOT, env={**os.environ, "FAREBOX_DEMO_FAULT": "wrong_chrage"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert demo.returncode == 2
    assert all(fault in demo.stdout for fault in FAILING_STEPS)
