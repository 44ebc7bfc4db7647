"""Who stands beside Farebox, each as its own documentation starts it, in an environment of its own.

Environments are made once under build/peers from the package registries and kept.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from benchmarks.installation import ROOT

PEERS: Final = ROOT / "build" / "peers"
LITELLM: Final = "1.106.2"
PORTKEY: Final = "1.15.2"
KEY: Final = "sk-farebox-bench"
_START_S: Final = 120.0


class NotInstalledError(Exception):
    """A peer cannot be installed here; the message says why."""


@dataclass(frozen=True)
class Side:
    """One server under load: where it is, what its clients send, which processes it takes.

    `cpu` are the processes whose time counts as the side's own, `beside` those it needs besides.
    """

    name: str
    version: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    cpu: Mapping[str, int] = field(default_factory=dict)
    beside: Mapping[str, int] = field(default_factory=dict)
    model: str = "swift-1"
    path: str = "/v1/chat/completions"


@contextmanager
def stub() -> Iterator[Side]:
    """The provider itself: what is measured against it is nobody's delay."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway.stub"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Side("direct", "", port, cpu={"stub": process.pid})
        finally:
            process.terminate()


@contextmanager
def litellm(stub_port: int, folder: Path) -> Iterator[Side]:
    """The LiteLLM proxy: one worker, no database, its master key checked."""
    python = _litellm_python()
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(port=stub_port, key=KEY))
    port = _free_port()
    command = [
        str(python.with_name("litellm")),
        *("--config", str(config), "--port", str(port), "--host", "127.0.0.1"),
        *("--num_workers", "1"),
    ]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with _running(command, folder / "litellm.log", quiet) as process:
        _wait(lambda: httpx.get(f"http://127.0.0.1:{port}/health/liveliness").is_success, process)
        headers = {"authorization": f"Bearer {KEY}"}
        yield Side("litellm", LITELLM, port, headers, cpu={"litellm": process.pid})


_LITELLM_CONFIG: Final = """
model_list:
  - model_name: swift-1
    litellm_params:
      model: openai/swift-1
      api_base: http://127.0.0.1:{port}/v1
      api_key: sk-stub
      input_cost_per_token: 2.5e-07
      output_cost_per_token: 2.0e-06
litellm_settings:
  num_retries: 0
  telemetry: False
general_settings:
  master_key: {key}
"""


@contextmanager
def portkey(stub_port: int, folder: Path) -> Iterator[Side]:
    """Portkey's gateway from npm: it routes, and checks no key of its own."""
    server = _portkey_server()
    port = _free_port()
    command = [_node("node"), str(server), "--headless", f"--port={port}"]
    with _running(command, folder / "portkey.log", {"NODE_ENV": "production"}) as process:
        _wait(lambda: httpx.get(f"http://127.0.0.1:{port}/").is_success, process)
        headers = {
            "authorization": f"Bearer {KEY}",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{stub_port}/v1",
        }
        yield Side("portkey", PORTKEY, port, headers, cpu={"portkey": process.pid})


def _litellm_python() -> Path:
    folder = PEERS / f"litellm-{LITELLM}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _install([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _install([*pip, f"litellm[proxy]=={LITELLM}"])
        (folder / "installed").touch()
    return python


def _portkey_server() -> Path:
    folder = PEERS / f"portkey-{PORTKEY}"
    server = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not server.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = [_node("npm"), "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
        _install([*npm, f"@portkey-ai/gateway@{PORTKEY}"])
    if not server.exists():
        raise NotInstalledError(f"the package of Portkey has no {server.name}")
    return server


def _node(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotInstalledError(f"{name} is not installed")
    return found


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalledError((done.stderr or done.stdout)[-600:])


@contextmanager
def _running(
    command: list[str], log: Path, more: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **more}, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(answers: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            if answers():
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotInstalledError(f"{process.args!r} did not start")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
