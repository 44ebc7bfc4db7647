import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from libs.runtime import supervision
from libs.runtime.supervision import Lifecycle

PROGRAM = """
import asyncio, sys
from libs.runtime import supervision
from libs.runtime.settings import Settings

supervision.CLEAN_UP_S = 0.3

async def serve(settings, lifecycle):
    async def task(error):
        if error:
            raise RuntimeError(error)
        await asyncio.Event().wait()
    if mode == "die":
        lifecycle.die("told to")
    if mode == "raise":
        raise RuntimeError("broke")
    if mode == "task":
        lifecycle.spawn(task("task broke"), "worker")
    if mode == "return":
        lifecycle.spawn(task(""), "left running")
        return
    print("up", flush=True)
    await lifecycle.stopping.wait()
    if mode == "hang":
        await asyncio.Event().wait()
    if mode == "wedge":
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
    print("cleaned up", flush=True)

mode = sys.argv[1]
supervision.run(serve, Settings(process_name="p"))
"""


def start(mode):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out.split("\n"), [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order_with_exit_code_0(number):
    process = start("wait")
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, number)
    code, out, log = finish(process)
    assert code == 0
    assert "cleaned up" in out
    assert [entry["message"] for entry in log] == ["starting", "stopped"]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("die", "told to"),
        ("raise", "service failed: RuntimeError('broke')"),
        ("task", "task worker failed: RuntimeError('task broke')"),
    ],
)
def test_a_failure_ends_the_process_with_exit_code_1_and_its_reason(mode, reason):
    code, _, log = finish(start(mode))
    assert code == 1
    assert f"process ends: {reason}" in [entry["message"] for entry in log]


def test_a_service_that_returns_ends_its_process_and_tasks():
    code, _, log = finish(start("return"))
    assert code == 0
    assert log[-1]["message"] == "stopped"


@pytest.mark.parametrize("mode", ["hang", "wedge"])
def test_a_clean_up_that_hangs_is_cut_off(mode):
    process = start(mode)
    assert process.stdout.readline() == "up\n"
    process.terminate()
    code, out, log = finish(process)
    assert code == 1
    assert "cleaned up" not in out
    assert "clean-up took longer than 0.3 s" in log[1]["message"]


async def test_the_first_reason_to_die_is_the_one_kept():
    lifecycle = Lifecycle()
    lifecycle.die("first")
    lifecycle.die("second")
    assert lifecycle.reason == "first"
    assert lifecycle.exit_code == 1
    assert lifecycle.stopping.is_set()


async def test_stopping_is_not_a_failure():
    lifecycle = Lifecycle()
    lifecycle.stop()
    assert lifecycle.stopping.is_set()
    assert lifecycle.exit_code == 0


async def test_closing_cancels_tasks_last_started_first_and_waits_for_their_clean_up():
    ended = []

    async def work(name):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    lifecycle = Lifecycle()
    for name in ("a", "b", "c"):
        lifecycle.spawn(work(name), name)
    await asyncio.sleep(0)
    await lifecycle.close()
    assert ended == ["c", "b", "a"]
    assert not lifecycle.stopping.is_set()


async def test_a_task_that_ends_well_ends_nothing_else():
    async def work():
        return 7

    lifecycle = Lifecycle()
    assert await lifecycle.spawn(work(), "brief") == 7
    assert not lifecycle.stopping.is_set()
    await lifecycle.close()


async def test_a_task_that_resists_its_end_is_named_and_waited_for_no_longer(monkeypatch):
    monkeypatch.setattr(supervision, "CANCEL_S", 0.1)
    may_end = []

    async def work():
        while not may_end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    lifecycle = Lifecycle()
    task = lifecycle.spawn(work(), "stubborn")
    await asyncio.sleep(0)
    assert not await lifecycle.close()
    assert lifecycle.reason == "task stubborn resists its end"
    may_end.append(True)
    task.cancel()
    await asyncio.wait([task])


async def test_some_tasks_end_while_the_process_goes_on():
    lifecycle = Lifecycle()
    task, other = (lifecycle.spawn(asyncio.Event().wait(), name) for name in ("task", "other"))
    await asyncio.sleep(0)
    assert await lifecycle.end([task])
    assert task.cancelled()
    assert not other.done()
    assert not lifecycle.stopping.is_set()
    await lifecycle.close()


async def test_one_that_resists_ends_the_process(monkeypatch):
    monkeypatch.setattr(supervision, "CANCEL_S", 0.1)
    may_end = []

    async def work():
        while not may_end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    lifecycle = Lifecycle()
    task = lifecycle.spawn(work(), "stubborn")
    await asyncio.sleep(0)
    assert not await lifecycle.end([task])
    assert lifecycle.reason == "task stubborn resists its end"
    may_end.append(True)
    task.cancel()
    await asyncio.wait([task])
