"""`farebox up` as an operator meets it: one command, real processes, one data folder."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from deploy.local.launch import free_port, runs_with
from deploy.local.postgres import binaries
from tests.support.catalogue import EXAMPLE
from tests.support.waiting import wait_until

PROCESSES = ("ledger", "reader", "admin", "gateway-1", "gateway-2", "payments", "recharge")
UPSTREAM_KEY = "FAREBOX_UPSTREAM_NORTH_KEY"


class Up:
    """A `farebox up` in its own folder, on free public ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / ".farebox"
        self.ports = {"gateway": free_port(), "admin": free_port(), "payments": free_port()}
        text = EXAMPLE
        for default, port in zip((8402, 8403, 8404), self.ports.values(), strict=True):
            assert f":{default}" in text
            text = text.replace(f":{default}", f":{port}")
        (folder / "farebox.toml").write_text(text)
        self.output = folder / "out.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "farebox.main", "up"],
                cwd=self.folder,
                env={**os.environ, UPSTREAM_KEY: "north", "FAREBOX_STRIPE_API_KEY": "sk_test_x"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        wait_until(self.is_up, patience_s=60, what="farebox is up")

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.text()
        return self.text().count("farebox is up") == self.starts

    def text(self) -> str:
        return self.output.read_text()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def pid(self, name: str) -> int:
        return int(json.loads((self.data / "run" / f"{name}.json").read_text())["pid"])

    def health(self, name: str) -> int:
        try:
            ports = json.loads((self.data / "run" / f"{name}.json").read_text())["ports"]
            url = f"http://127.0.0.1:{ports['health']}/health/ready"
            return httpx.get(url, timeout=5).status_code
        except (OSError, ValueError, httpx.HTTPError):
            return 0

    def postmaster(self) -> int:
        """0 while Postgres has yet to write its file: it stands there empty for a moment."""
        try:
            lines = (self.data / "postgres/data/postmaster.pid").read_text().splitlines()
        except FileNotFoundError:  # at any moment: the next server removes the last one's
            return 0
        return int(lines[0]) if lines else 0

    def server_pids(self) -> list[int]:
        return [self.postmaster(), int((self.data / "nats/nats.pid").read_text())]

    def accounts(self, plan: str) -> httpx.Response:
        token = re.search(
            "^FAREBOX_ADMIN_TOKEN=(.*)$", (self.data / "secrets.env").read_text(), re.MULTILINE
        )
        return httpx.post(
            f"http://127.0.0.1:{self.ports['admin']}/admin/v1/accounts",
            headers={"authorization": f"Bearer {token[1]}", "idempotency-key": "one"},
            json={"plan": plan},
            timeout=20,
        )


def is_gone(pid: int) -> bool:
    return not any(runs_with(pid, word) for word in ("serve", "-D", "-c"))


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    started = Up(tmp_path_factory.mktemp("up"))
    started.start()
    yield started
    if started.process.poll() is None:
        started.end(signal.SIGTERM)


@pytest.mark.requirement("OPS-1")
def test_every_process_is_ready_when_it_says_so(up):
    assert [up.health(name) for name in PROCESSES] == [200] * len(PROCESSES)
    assert httpx.get(f"http://127.0.0.1:{up.ports['gateway']}/health/ready").status_code == 200
    for url in (f"http://127.0.0.1:{port}" for port in up.ports.values()):
        assert url in up.text()


def test_processes_were_started_in_the_order_that_they_need_each_other(up):
    started = re.findall(r"^starting (\S+)$", up.text(), re.MULTILINE)
    assert started[: len(PROCESSES) + 2] == ["postgres", "nats", *PROCESSES]


def test_each_process_has_its_own_credentials_only(up):
    secrets = dict(
        line.split("=", 1) for line in (up.data / "secrets.env").read_text().splitlines()
    )
    owner_of = {
        "north": "gateway",
        "sk_test_x": "payments",
        secrets["FAREBOX_ADMIN_TOKEN"]: "admin",
    }
    for kind in ("gateway", "admin", "ledger", "reader", "payments", "recharge"):
        owner_of[secrets[f"FAREBOX_NATS_{kind.upper()}_PASSWORD"]] = kind
        if (role := f"FAREBOX_POSTGRES_{kind.upper()}_PASSWORD") in secrets:
            owner_of[secrets[role]] = kind
    others = set(secrets.values()) - owner_of.keys()
    for name in PROCESSES:
        environment = Path(f"/proc/{up.pid(name)}/environ").read_bytes().decode()
        for secret, kind in owner_of.items():
            assert (secret in environment) == (name.partition("-")[0] == kind), (name, kind)
        assert not any(secret in environment for secret in others), name


@pytest.mark.parametrize("name", ["ledger", "gateway-1"])
def test_a_killed_process_comes_back_and_serves(up, name):
    before = up.pid(name)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: up.health(name) == 200 and up.pid(name) != before, patience_s=30)
    wait_until(lambda: up.accounts("payg").status_code in {200, 201}, patience_s=30)
    assert f"{name} was ended by SIGKILL" in up.text()


def test_a_killed_postgres_comes_back_and_so_does_who_needs_it(up):
    postmaster = up.postmaster()
    os.kill(postmaster, signal.SIGKILL)
    wait_until(lambda: "postgres starts again" in up.text())
    wait_until(lambda: up.postmaster() not in {0, postmaster}, patience_s=30)
    wait_until(lambda: up.accounts("payg").status_code in {200, 201}, patience_s=30)
    wait_until(lambda: all(up.health(name) == 200 for name in PROCESSES), patience_s=30)


def test_a_second_up_is_told_which_setting_to_change(up):
    done = subprocess.run(
        [sys.executable, "-m", "farebox.main", "up", "--data", "other"],
        cwd=up.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(
        r'\[gateway\] \w*listen = "127\.0\.0\.1:\d+": another process listens', done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not (up.folder / "other" / "postgres").exists()


def test_when_up_is_killed_all_goes_and_the_next_start_has_the_data(up):
    account = up.accounts("payg").json()
    pids = [*(up.pid(name) for name in PROCESSES), *up.server_pids()]
    up.end(signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in pids), patience_s=30)
    up.start()
    assert up.accounts("payg").json() == account


def test_sigterm_stops_everything_in_order_with_status_0(up):
    pids = [*(up.pid(name) for name in PROCESSES), *up.server_pids()]
    began = time.monotonic()
    assert up.end(signal.SIGTERM) == 0
    assert all(is_gone(pid) for pid in pids)
    assert time.monotonic() - began < 30
    control = [binaries() / "pg_controldata", "-D", up.data / "postgres" / "data"]
    said = subprocess.run(control, capture_output=True, text=True, check=True).stdout
    assert re.search(r"cluster state: +shut down\n", said)
    assert sorted(path.name for path in (up.data / "run").iterdir()) == ["ports.json"]
