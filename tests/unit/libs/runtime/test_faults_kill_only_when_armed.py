import signal
import subprocess
import sys

import pytest

from libs.runtime import faults
from libs.runtime.settings import Settings

PROGRAM = """
from libs.runtime import faults
from libs.runtime.settings import Settings
faults.arm(Settings())
for n in range(1, 5):
    faults.fault("before_reply")
    faults.fault("after_append")
    print(n, flush=True)
"""


def run_program(**env):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_armed_point_kills_the_process_at_its_nth_pass():
    done = run_program(FAREBOX_FAULTS="1", FAREBOX_FAULT_POINT="after_append:3")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["1", "2"]


def test_an_unarmed_process_passes_every_point():
    done = run_program()
    assert done.returncode == 0
    assert done.stdout.split() == ["1", "2", "3", "4"]


def test_arming_without_permission_is_refused():
    class Bare:
        faults = False
        fault_point = "after_append"

    with pytest.raises(ValueError, match="refused"):
        faults.arm(Bare())


def test_arming_nothing_disarms():
    faults.arm(Settings(faults=True, fault_point="after_append"))
    faults.arm(Settings())
    faults.fault("after_append")
