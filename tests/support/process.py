import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.database import Database
from tests.support.settings import READ_YOUR_WRITES_S

ROOT = Path(__file__).parents[2]
START_S = 60.0
"""A process that starts among many others on a small machine may take tens of seconds."""


class Process:
    """A real `farebox serve NAME` process on a test's database.

    Args:
        name: ledger, reader, gateway, admin, payments or recharge; a number may follow
            (`gateway-2`) to tell several of a kind apart.
        folder: of the test; the process's data directory, with its run file and its log.
        config: the farebox.toml it reads.
        env: further variables, for example {"FAREBOX_EXPIRY_GRACE_S": "0.2"}.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        folder: Path,
        *,
        config: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / "logs" / f"{name}.log"
        self._run_file = folder / "run" / f"{name}.json"
        self._env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FAREBOX_")},
            **database.env_for(name),
            "FAREBOX_DATA_DIR": str(folder),
            "FAREBOX_READ_YOUR_WRITES_S": str(READ_YOUR_WRITES_S),
            **({"FAREBOX_CONFIG": str(config)} if config else {}),
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True, patience_s: float = START_S) -> Self:
        """Start it and, unless told otherwise, wait until it says that it is ready."""
        assert not self.alive, f"{self.name} is already started"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._run_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "farebox.main", "serve", self.name.partition("-")[0]],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if ready:
            self.wait_ready(patience_s)
        return self

    def wait_ready(self, patience_s: float = START_S) -> None:
        deadline = time.monotonic() + patience_s
        while not self.is_ready():
            if not self.alive:
                raise AssertionError(self._story(f"exited with {self.exit_code}"))
            if time.monotonic() > deadline:
                raise AssertionError(self._story(f"is not ready after {patience_s} s"))
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return httpx.get(self.url("health", "/health/ready"), timeout=2.0).status_code == 200
        except (httpx.HTTPError, LookupError):
            return False

    def port(self, name: str) -> int:
        """A port from its run file: health, http, …; LookupError while there is none."""
        content = self._run()
        if self._process is None or content.get("pid") != self._process.pid:
            raise LookupError(f"{self.name} has no run file yet")
        return int(content["ports"][name])

    def url(self, port: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port(port)}{path}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; for those that end a process, `wait` tells when it has."""
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, patience_s: float = 20.0) -> int:
        """Wait for its end and return the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._story(f"still runs after {patience_s} s")) from None

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL when it does not go: for teardown."""
        if self.alive:
            self.kill(signal.SIGCONT)
            self.kill(signal.SIGTERM)
            try:
                self.wait()
            except AssertionError:
                self.kill()
                self.wait()
                raise

    def text(self) -> str:
        """Everything it has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _run(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._run_file.read_text())
        except (OSError, ValueError):
            return {}
        return content

    def _story(self, what: str) -> str:
        lines = "\n".join(self.text().splitlines()[-40:])
        return f"{self.name} {what}; its log ends:\n{lines}"

    def __enter__(self) -> Self:
        return self if self.alive else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
