import os
import signal
import sys
import textwrap
import time

import pytest

from farebox.supervisor import StartError, Supervisor
from farebox.units import Process, ProcessUnit
from tests.support.waiting import wait_until

# A process that behaves like ours: a health port, a run file, an orderly end that it writes down.
WELL = """
    import http.server, json, os, signal, sys, threading
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers()
        def log_message(self, *args): pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    def end(*args):
        with open(ENDS, "a") as out: out.write(NAME + " ")
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    with open(RUN + ".new", "w") as out:
        json.dump({"pid": os.getpid(), "ports": {"health": server.server_port}}, out)
    os.replace(RUN + ".new", RUN)
    server.serve_forever()
"""
DIES_AT_ONCE = 'import sys; sys.exit("no such table")'
NEVER_READY = "import time; time.sleep(600)"


@pytest.fixture
def reports():
    return []


@pytest.fixture
def supervisor(reports, tmp_path):
    """Stopped before its processes' folder is cleared away."""
    made = Supervisor(reports.append, ready_s=10)
    yield made
    made.stop()


def unit(folder, name, script=WELL):
    run = folder / f"{name}.json"
    names = f"NAME = {name!r}; RUN = {str(run)!r}; ENDS = {str(folder / 'ends')!r}\n"
    command = [sys.executable, "-c", names + textwrap.dedent(script)]
    log = folder / "logs" / f"{name}.log"
    return ProcessUnit(Process(name, command, dict(os.environ), run, log))


def test_a_killed_process_is_started_again_and_said_so(supervisor, reports, tmp_path):
    one = unit(tmp_path, "one")
    supervisor.start(one)
    first = one.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: one.alive and one.pid != first and one.ready())
    assert any("one was ended by SIGKILL" in line for line in reports)


def test_the_wait_doubles_with_each_death_in_a_row(supervisor, reports, tmp_path):
    one = unit(tmp_path, "one")
    supervisor.start(one)
    for _ in range(3):
        pid = one.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: one.alive and one.pid != pid)
    waits = [line.rsplit(" starts again in ", 1)[1] for line in reports]
    assert waits == ["0.2 s", "0.4 s", "0.8 s"]


def test_processes_stop_in_reverse_order(supervisor, tmp_path):
    for name in ("one", "two", "three"):
        supervisor.start(unit(tmp_path, name))
    supervisor.stop()
    assert (tmp_path / "ends").read_text().split() == ["three", "two", "one"]


def test_a_process_that_was_restarted_stops_in_order_too(supervisor, tmp_path):
    """What the watching thread started is bound to that thread's life."""
    one, two = unit(tmp_path, "one"), unit(tmp_path, "two")
    supervisor.start(one)
    supervisor.start(two)
    pid = one.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: one.pid != pid and one.alive and one.ready())
    supervisor.stop()
    assert (tmp_path / "ends").read_text().split() == ["two", "one"]


def test_nothing_is_restarted_once_it_was_told_to_stop(supervisor, reports, tmp_path):
    one = unit(tmp_path, "one")
    supervisor.start(one)
    supervisor.stop()
    assert not one.alive
    assert reports == []


def test_a_process_that_dies_at_start_is_named_with_its_last_words(supervisor, tmp_path):
    with pytest.raises(StartError, match=r"(?s)bad exited with 1;.*no such table"):
        supervisor.start(unit(tmp_path, "bad", DIES_AT_ONCE))


def test_a_process_that_never_gets_ready_is_stopped(reports, tmp_path):
    slow = unit(tmp_path, "slow", NEVER_READY)
    with pytest.raises(StartError, match=r"slow is not ready after 0\.3 s"):
        Supervisor(reports.append, ready_s=0.3).start(slow)
    assert not slow.alive


def test_a_run_file_of_an_earlier_process_is_not_believed(tmp_path):
    one = unit(tmp_path, "one", NEVER_READY)
    one.start()
    one.process.run_file.write_text('{"pid": 1, "ports": {"health": 1}}')
    try:
        assert one.ports() == {}
        assert not one.ready()
    finally:
        one.stop()


def test_a_restart_by_hand_replaces_the_process_and_is_not_a_failure(supervisor, reports, tmp_path):
    supervisor.start(unit(tmp_path, "one"))
    replacement = unit(tmp_path, "one")
    supervisor.restart("one", replacement)
    assert supervisor.unit("one") is replacement
    assert replacement.ready()
    assert reports == []
    with pytest.raises(KeyError):
        supervisor.restart("two")


def test_a_process_that_ignores_sigterm_is_killed_in_the_end(tmp_path):
    script = WELL.replace(
        "signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    )
    one = unit(tmp_path, "one", script)
    one.process = Process(**{**one.process.__dict__, "stop_s": 0.3})
    one.start()
    wait_until(one.ready)
    started = time.monotonic()
    one.stop()
    assert not one.alive
    assert time.monotonic() - started >= 0.3


def test_a_suspended_process_is_stopped_in_order(supervisor, tmp_path):
    one = unit(tmp_path, "one")
    supervisor.start(one)
    os.kill(one.pid, signal.SIGSTOP)
    supervisor.stop()
    assert (tmp_path / "ends").read_text().split() == ["one"]
