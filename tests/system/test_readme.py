"""The README's start works as it is written: its blocks are run, not read."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", README, flags=re.DOTALL)
EXPORT = re.compile(r"export (\w+)=(\S+)")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`make demo` without the installation: the same command, until it has printed the exports."""
    target = (ROOT / "Makefile").read_text()
    assert "\t@$(PY) -m farebox.main demo\n" in target
    command = [sys.executable, "-m", "farebox.main", "demo", "--data"]
    process = subprocess.Popen(
        [*command, str(tmp_path_factory.mktemp("readme") / "demo")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    alarm = threading.Timer(100, process.kill)
    alarm.start()
    exports: dict[str, str] = {}
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if match := EXPORT.fullmatch(line.strip()):
                exports[match[1]] = match[2]
            if len(exports) == 2:
                break
        assert len(exports) == 2, "".join(said)
        yield exports
    finally:
        alarm.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def run(demo: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **demo}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_start_is_one_command():
    assert BLOCKS[0] == ("sh", "make demo\n")


def test_the_sdk_block_answers(demo):
    (block,) = (text for kind, text in BLOCKS if kind == "python")
    assert re.search(r"\w+ .* \d+$", run(demo, sys.executable, "-c", block).strip())


def test_the_balance_block_answers(demo):
    block = next(text for kind, text in BLOCKS if "curl" in text)
    assert '"available"' in run(demo, "bash", "-euc", block)


def test_every_block_is_run():
    kinds = sorted("curl" if "curl" in text else kind for kind, text in BLOCKS)
    assert kinds == ["curl", "python", "sh"], "a new block needs a test of its own"
