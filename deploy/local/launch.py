"""As whom a server is started, and how its life is tied to the process that started it."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local.errors import LocalServerError

NOBODY = 65534
_NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")


@dataclass(frozen=True)
class RunAs:
    """The user a server runs as: words before its command, and a uid and gid to change to."""

    name: str
    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None


CALLER = RunAs("the calling user")
NAMESPACE = RunAs("root in a user namespace", prefix=_NAMESPACE)


def unprivileged(folder: Path) -> RunAs:
    """Choose the user for a server that refuses to be root, and that shall own `folder`.

    An existing folder decides by its owner: a cluster made by `nobody` cannot be opened by root
    in a namespace, and the other way round.
    """
    if os.geteuid() != 0:
        return CALLER
    made_by_nobody = folder.exists() and folder.stat().st_uid == _nobody().pw_uid
    if not made_by_nobody and _namespaces_allowed():
        return NAMESPACE
    nobody = _nobody()
    return RunAs("nobody", uid=nobody.pw_uid, gid=nobody.pw_gid)


def spawn(
    command: Sequence[str | Path],
    *,
    run_as: RunAs,
    stop_signal: signal.Signals,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server that gets `stop_signal` when this thread ends, and no Ctrl-C of the terminal.

    Call it from a thread that lives as long as the server shall: Linux binds the signal to the
    thread that forked.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*run_as.prefix, *_bound_to_parent(stop_signal), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd="/",
            start_new_session=True,
            user=run_as.uid,
            group=run_as.gid,
            extra_groups=None if run_as.uid is None else [],
        )


def run(command: Sequence[str | Path], *, run_as: RunAs) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end as that user; output is captured, a failure is not raised."""
    return subprocess.run(
        [*run_as.prefix, *map(str, command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        start_new_session=True,
        user=run_as.uid,
        group=run_as.gid,
        extra_groups=None if run_as.uid is None else [],
        check=False,
    )


def require_access(run_as: RunAs, *, program: Path, folder: Path) -> None:
    """Refuse, naming the path, when that user cannot reach its program or its data folder.

    Modes of folders that were there before are never changed, so only the operator can help.
    """
    if run_as.uid is None:
        return
    advice = "choose a folder that it can reach with FAREBOX_HOME or --data, or run as another user"
    try:
        reachable = run([program, "--version"], run_as=run_as).returncode == 0
    except PermissionError:
        reachable = False
    if not reachable:
        raise LocalServerError(
            f"PostgreSQL refuses to run as root, and the user {run_as.name} cannot run {program}: "
            f"move the installation to a folder that it can reach, or run as another user"
        )
    if run(["test", "-w", folder, "-a", "-x", folder], run_as=run_as).returncode != 0:
        raise LocalServerError(
            f"PostgreSQL refuses to run as root, and the user {run_as.name} cannot write to "
            f"{folder}: {advice}"
        )


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at this moment.

    It lies below the range for outgoing connections: a client that keeps dialling a dead server
    there would sooner or later connect to itself, and hold the port when the server comes back.
    """
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311  (not a secret)
        if port_is_free("127.0.0.1", port):
            return port


def port_is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def runs_with(pid: int, argument: str | Path) -> bool:
    """Say whether a live process (not a zombie) has that argument on its command line."""
    folder = Path("/proc") / str(pid)
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in {"Z", "X"} and str(argument).encode() in words


def _bound_to_parent(stop_signal: signal.Signals) -> list[str]:
    # macOS has no setpriv: there a killed parent leaves its servers running, and the next start
    # says so by name.
    if shutil.which("setpriv") is None:
        return []
    return ["setpriv", "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--"]


@cache
def _namespaces_allowed() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def _nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")
