import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.local.launch import runs_with
from deploy.local.nats import NatsServer
from deploy.local.postgres import binaries
from deploy.local.stack import LocalStack
from tests.support.environment import REQUIRE_ALL
from tests.support.users import nobody_can_run_postgres
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[4]
HOLD = [sys.executable, "-m", "tests.support.hold_stack"]


def users():
    """As whom the servers can be tried here. CI demands all of them."""
    if os.geteuid() != 0:
        return ["ordinary user"]
    return ["root", "ordinary user"] if REQUIRE_ALL or nobody_can_run_postgres() else ["root"]


@pytest.fixture(params=users())
def hold(request):
    """Start a process that holds a stack in one folder; several in turn resume it."""
    folder = Path(tempfile.mkdtemp(prefix="farebox-test-"))
    words = [*HOLD, str(folder)]
    if request.param == "ordinary user" and os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        words.append("nobody")
    started = []

    def start():
        process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        line = process.stdout.readline()
        assert line, "the holder did not start its stack"
        story = json.loads(line)
        assert (story["uid"] == 0) == (request.param == "root")
        story["holder"] = process
        story["folder"] = folder
        return story

    yield start
    for process in started:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)
    shutil.rmtree(folder)


def servers_are_gone(story):
    data, config = story["folder"] / "postgres" / "data", story["folder"] / "nats" / "nats.conf"
    return not runs_with(story["postgres"], data) and not runs_with(story["nats"], config)


def control_state(story):
    data = story["folder"] / "postgres" / "data"
    words = [binaries() / "pg_controldata", "-D", data]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return next(line for line in text.splitlines() if "cluster state" in line).split(":")[1].strip()


def test_servers_of_a_killed_parent_stop_cleanly_and_the_next_start_resumes(hold):
    first = hold()
    assert runs_with(first["postgres"], first["folder"] / "postgres" / "data")
    first["holder"].kill()
    wait_until(lambda: servers_are_gone(first), what="servers stop after their parent's death")
    assert control_state(first) == "shut down"
    assert hold()["starts"] == 2


def test_a_start_right_after_the_parent_s_death_waits_for_its_servers(hold):
    hold()["holder"].kill()
    assert hold()["starts"] == 2


def test_ctrl_c_stops_everything_once_and_cleanly(hold):
    story = hold()
    assert os.getsid(story["postgres"]) != os.getsid(story["holder"].pid)
    assert os.getsid(story["nats"]) != os.getsid(story["holder"].pid)
    os.killpg(story["holder"].pid, signal.SIGINT)
    story["holder"].wait(30)
    assert servers_are_gone(story)
    assert control_state(story) == "shut down"


def test_an_interrupt_while_starting_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(NatsServer, "start", interrupted)
    stack = LocalStack(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stack.start()
    assert not stack.postgres.alive
    assert not (stack.postgres.data / "postmaster.pid").exists()
