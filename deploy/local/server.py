import fcntl
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from deploy.local.errors import LocalServerError
from deploy.local.launch import free_port

_PORT_ATTEMPTS = 5


class PortTakenError(Exception):
    """Somebody else listens on a port that the server was given."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port


class Server(ABC):
    """A server process that owns one folder and keeps its data there between starts.

    The folder is locked while the object is started, so that two of them never share data. The
    port is chosen at the first start (0 = a free one) and kept over later starts of the object.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path, *, port: int = 0, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.log = (log or self.folder / f"{self.name}.log").absolute()
        self.port = port
        self._port_is_chosen = port == 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._log_start = 0

    @abstractmethod
    def _prepare(self) -> None:
        """Make or check the files of the folder, before each start."""

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]:
        """Start the process on the chosen port."""

    @abstractmethod
    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Return once it answers; raise PortTakenError or LocalServerError."""

    def start(self) -> None:
        """Start and return when the server answers. Raises LocalServerError."""
        if self.alive:
            raise LocalServerError(f"{self.name} in {self.folder} is already started")
        self._reap()
        try:
            self._take_folder()
            self._prepare()
            self._start_on_a_port()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, patience_s: float = 30.0) -> None:
        """Stop cleanly; what does not go within `patience_s` is killed. Harmless when stopped."""
        if self.alive:
            self._signal(self.stop_signal)
            try:
                self._wait(patience_s)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        self._reap()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def kill(self) -> None:
        """Kill -9 the server, as a crash would; its folder stays taken by this object."""
        if self.alive:
            self._signal(signal.SIGKILL)
        self._reap()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LocalServerError(f"{self.name} in {self.folder} is not started")
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on_a_port(self) -> None:
        for attempt in range(_PORT_ATTEMPTS):
            if self.port == 0 or (attempt and self._port_is_chosen):
                self.port = free_port()
            self._log_start = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._launch()
            try:
                self._wait_ready(self._process)
            except PortTakenError as taken:
                self.kill()
                if not self._port_is_chosen and taken.port == self.port:
                    break
            else:
                return
        raise LocalServerError(
            f"{self.name} cannot listen on 127.0.0.1:{self.port}: the port is taken by another "
            f"process; stop that one or choose another port"
        )

    def _take_folder(self) -> None:
        if not self.folder.exists():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self._lock is not None:
            return
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise LocalServerError(
                f"the {self.name} folder {self.folder} is in use by another farebox process: "
                f"stop that one or choose another folder with FAREBOX_HOME or --data"
            ) from None
        self._lock = handle

    def _new_log(self) -> str:
        """What the server wrote since its latest start."""
        with self.log.open("rb") as text:
            text.seek(self._log_start)
            return text.read().decode(errors="replace")

    def _failed(self, what: str) -> LocalServerError:
        lines = "\n".join(self._new_log().splitlines()[-8:])
        return LocalServerError(f"{self.name} in {self.folder} {what}; {self.log} ends:\n{lines}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _wait(self, seconds: float) -> None:
        if self._process is not None:
            self._process.wait(seconds)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
