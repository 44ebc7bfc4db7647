"""What `farebox doctor` looks at on this machine: disk, limits, ports, secrets."""

import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.local.launch import port_is_free
from farebox.start.finding import Finding, failure, fine, warning
from libs.catalogue import Catalogue

_SYNCS: Final = 15
_SLOW_SYNC_MS: Final = 20.0
_LEAST_FILES: Final = 4096
_ENOUGH: Final = 2 * 1024**3
_LEAST: Final = 256 * 1024**2
_STRIPE_KEYS: Final = ("sk_test_", "sk_live_", "rk_test_", "rk_live_")


def machine(catalogue: Catalogue, data: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what every installation needs of its machine."""
    yield _sync(data)
    yield _space(data)
    yield _files()
    yield from _ports(catalogue, data)
    yield from _stripe(environment)


def private(file: Path) -> Iterator[Finding]:
    """Whether a file of secrets, where there is one, is for its owner alone."""
    if not file.is_file():
        return
    if file.stat().st_mode & 0o077:
        yield failure("secrets", f"{file} can be read by others", f"chmod 600 {file}")
    else:
        yield fine("secrets", f"{file} is for its owner alone")


def _sync(data: Path) -> Finding:
    """Every charge waits for one sync of the disk: its time is the floor of every request."""
    data.mkdir(parents=True, exist_ok=True)
    took: list[float] = []
    try:
        with tempfile.TemporaryFile(dir=data) as file:
            for _ in range(_SYNCS):
                file.write(b"\0" * 8192)
                file.flush()
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                took.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        return failure("disk sync", f"{data}: {error}", "give it a folder on a local disk: --data")
    middle = statistics.median(took)
    detail = f"{data} syncs in {middle:.2f} ms"
    if middle > _SLOW_SYNC_MS:
        return warning("disk sync", detail, "use a local SSD: every request waits for a sync")
    return fine("disk sync", detail)


def _space(data: Path) -> Finding:
    free = shutil.disk_usage(data).free
    detail = f"{free / 1024**3:.1f} GiB free at {data}"
    fix = "free space, or put --data on a larger disk: a full disk stops all charging"
    if free < _LEAST:
        return failure("disk space", detail, fix)
    return warning("disk space", detail, fix) if free < _ENOUGH else fine("disk space", detail)


def _files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{soft} open files allowed"
    if soft < _LEAST_FILES:
        fix = f"ulimit -n {_LEAST_FILES}: each request under way holds two connections"
        return warning("open files", detail, fix)
    return fine("open files", detail)


def _ports(catalogue: Catalogue, data: Path) -> Iterator[Finding]:
    listeners = {
        "gateway.listen": catalogue.gateway.listen,
        "gateway.admin_listen": catalogue.gateway.admin_listen,
        "payments.listen": catalogue.payments.listen,
    }
    for setting, (host, port) in listeners.items():
        if port_is_free(host, port):
            yield fine(setting, f"port {port} is free")
        elif _is_ours(port, data):
            yield fine(setting, f"port {port}: Farebox is running there")
        else:
            fix = f"stop what listens there, or write another port at {setting}"
            yield failure(setting, f"port {port} is taken by another process", fix)


def _is_ours(port: int, data: Path) -> bool:
    """Whether a process of this data folder, still alive, has said that it listens there."""
    for file in (data / "run").glob("*.json"):
        try:
            told = json.loads(file.read_text())
            os.kill(told["pid"], 0)
        except (OSError, ValueError, LookupError):
            continue
        if port in told["ports"].values():
            return True
    return False


def _stripe(environment: Mapping[str, str]) -> Iterator[Finding]:
    key = environment.get("FAREBOX_STRIPE_API_KEY", "")
    if not key:
        fix = "set FAREBOX_STRIPE_API_KEY in .env; until then only operators can grant credits"
        yield warning("stripe key", "not set: nobody can buy credits", fix)
        return
    if not key.startswith(_STRIPE_KEYS):
        fix = f"FAREBOX_STRIPE_API_KEY must begin with one of {', '.join(_STRIPE_KEYS)}"
        yield failure("stripe key", "this is no secret key of Stripe", fix)
    else:
        yield fine("stripe key", "live" if "_live_" in key[:8] else "test mode")
    if not environment.get("FAREBOX_STRIPE_WEBHOOK_SECRET", "").startswith("whsec_"):
        fix = "set FAREBOX_STRIPE_WEBHOOK_SECRET to the endpoint's signing secret (whsec_…)"
        yield failure("stripe webhooks", "no signing secret: paid credits would not arrive", fix)
    else:
        yield fine("stripe webhooks", "a signing secret is set")
