"""What the supervisor runs: the servers of the local stack, and processes that tell their ports."""

import http.client
import json
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.errors import LocalServerError
from deploy.local.launch import CALLER, spawn
from deploy.local.server import Server
from farebox.supervisor import StartError

_LOG_LINES = 12


@dataclass(frozen=True)
class Process:
    """A process to run: it writes `{"pid", "ports": {…}}` to its run file when its ports are open.

    `ready` is a path on its port `health` that answers 200 when it may be given work; without one
    the run file is enough. `stop_s` is how long it may take to end after SIGTERM.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    run_file: Path
    log: Path
    ready: str | None = "/health/ready"
    stop_s: float = 30.0


@dataclass
class ProcessUnit:
    """Runs a Process. It gets SIGTERM when the process that started it dies."""

    process: Process
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def pid(self) -> int | None:
        return None if self._running is None else self._running.pid

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        self.process.log.parent.mkdir(parents=True, exist_ok=True)
        self.process.run_file.unlink(missing_ok=True)
        self._running = spawn(
            self.process.command,
            run_as=CALLER,
            stop_signal=signal.SIGTERM,
            log=self.process.log,
            env=self.process.env,
        )

    def ready(self) -> bool:
        ports = self.ports()
        if self.process.ready is None or not ports:
            return bool(ports)
        connection = http.client.HTTPConnection("127.0.0.1", ports["health"], timeout=2.0)
        try:
            connection.request("GET", self.process.ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ports(self) -> dict[str, int]:
        """The ports that this run of the process listens on; empty until it has said so."""
        try:
            told: dict[str, Any] = json.loads(self.process.run_file.read_text())
        except (OSError, ValueError):
            return {}
        if not self.alive or told.get("pid") != self.pid:
            return {}
        return dict(told["ports"])

    def stop(self) -> None:
        if self._running is None:
            return
        if self.alive:
            # A stopped process would not see SIGTERM.
            self._running.send_signal(signal.SIGCONT)
            self._running.terminate()
            try:
                self._running.wait(self.process.stop_s)
            except subprocess.TimeoutExpired:
                self._running.kill()
        self._running.wait()

    def obituary(self) -> str:
        code = None if self._running is None else self._running.poll()
        what = "does not answer" if code is None else _ending(code)
        return f"{what}; {self.process.log} ends:\n{_tail(self.process.log)}"


@dataclass
class ServerUnit:
    """Runs Postgres or NATS of the local stack; `then` is done after each start."""

    server: Server
    then: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def alive(self) -> bool:
        return self.server.alive

    def start(self) -> None:
        try:
            self.server.start()
            self.then()
        except LocalServerError as error:
            raise StartError(str(error)) from error

    def ready(self) -> bool:
        return self.server.alive

    def stop(self) -> None:
        self.server.stop()

    def obituary(self) -> str:
        return f"is gone; {self.server.log} ends:\n{_tail(self.server.log)}"


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines)
