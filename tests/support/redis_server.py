"""A redis-server of the test's own, which it may kill and start again."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest

from deploy.local.launch import free_port
from tests.support.environment import REQUIRE_ALL
from tests.support.waiting import wait_until

BINARY = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(
    BINARY is None and not REQUIRE_ALL, reason="redis-server is not installed (apt: redis-server)"
)


class RedisServer:
    """On a fixed free port of 127.0.0.1; it keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        assert BINARY is not None, "install redis-server: apt-get install redis-server"
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly no --daemonize no"
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, *options.split(), "--save", "", "--dir", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, what="redis-server listens")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "redis.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP: it falls silent with its connections open; SIGCONT: it goes on."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """As `kill -9`; what it held is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
