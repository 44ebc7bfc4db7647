"""What tests take from the developer's shell and machine; the rest is set by each test."""

import os
import shutil
import tempfile
from pathlib import Path

REQUIRE_ALL = bool(os.environ.get("FAREBOX_REQUIRE_ALL"))
"""A test that cannot run here fails instead of being left out: set in CI."""

for _name in [name for name in os.environ if name.startswith("FAREBOX_")]:
    if _name != "FAREBOX_REQUIRE_ALL":  # pytest's workers are started with this environment
        del os.environ[_name]

_SHARED_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30


def _keep_folders_in_memory() -> None:
    """Put temporary folders where an fsync waits for no disk, if there is plenty of memory.

    Tests stop processes, never the machine: what was written is there for the next process
    either way. Whoever sets TMPDIR has chosen a place.
    """
    if "TMPDIR" in os.environ or min(_free_memory(), _free(_SHARED_MEMORY)) < _ROOM:
        return
    os.environ["TMPDIR"] = tempfile.tempdir = str(_SHARED_MEMORY)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free if os.access(folder, os.W_OK | os.X_OK) else 0


def _free_memory() -> int:
    """What Linux says can be had without swapping; 0 elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    told = dict(line.split(":", 1) for line in lines)
    return int(told.get("MemAvailable", "0 kB").split()[0]) * 1024


_keep_folders_in_memory()
