"""Compile the ledger's hot modules with mypyc, if there is a C compiler: `make compiled`.

They stay ordinary typed Python: nothing in them is written for the compiler, and without one they
run as they are. Only modules without I/O are compiled, because only they are hot.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from libs.runtime.compiled import FOLDER, LIST, ROOT, Stale, compiled_modules, digest_of

DOMAIN = (
    "account", "charges", "clawbacks", "decide", "derived", "draft", "evolve", "freezes", "grants",
    "keys", "notes", "pasts", "recharge", "refunds", "reservations", "spending", "state",
)  # fmt: skip
LEDGER = (
    "ahead", "answers", "batch", "bodies", "cold", "columns", "command_key", "command_queue",
    "deadlines", "intake", "loaded", "pending", "slot", "snapshots", "working_set",
)  # fmt: skip
EVENTS = (
    "caller_ids", "codec", "command_rules", "fingerprints", "ids", "money", "subjects", "times",
)  # fmt: skip
SOURCES = (
    *(f"services/ledger/domain/{name}.py" for name in DOMAIN),
    *(f"services/ledger/{name}.py" for name in LEDGER),
    *(f"libs/events/{name}.py" for name in EVENTS),
    "libs/runtime/framing.py",
)


def compile_all(root: Path, sources: Iterable[str], work: Path) -> dict[str, Path]:
    """Compile sources; returns where each module was built. Raises SystemExit saying why not."""
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 (a tool of developers, and slow to import)
        from setuptools import Distribution  # noqa: PLC0415
    except ImportError as error:
        raise SystemExit(f"not compiled: {error} (`make setup` installs it)") from None
    options = ["--config-file", str(root / "pyproject.toml"), "--no-warn-unused-configs"]
    extensions = mypycify([*options, *sources], target_dir=str(work / "c"))
    built = Distribution({"name": "compiled", "ext_modules": extensions})
    command: Any = built.get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(work / "lib"), str(work / "temp")
    command.parallel = True
    command.ensure_finalized()
    try:
        command.run()
    except Exception as error:  # noqa: BLE001 (of several tools, and none of them may fail setup)
        raise SystemExit(f"not compiled: {error}. It needs a C compiler") from None
    return {
        name: Path(command.get_ext_fullpath(name)) for name in (each.name for each in extensions)
    }


def write(root: Path, sources: Iterable[str], built: dict[str, Path]) -> None:
    """Put what was built where processes look for it, the list last."""
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    modules = {}
    for name, place in built.items():
        modules[name] = f"{name}{''.join(place.suffixes)}"
        shutil.copy2(place, folder / modules[name])
    made = {
        "python": sys.implementation.cache_tag,
        "sources": {name: digest_of(root / name) for name in seen(root, sources)},
        "modules": modules,
    }
    (folder / LIST).write_text(json.dumps(made, indent=1))


def seen(root: Path, sources: Iterable[str]) -> list[str]:
    """The sources, and all of ours that they import: constants of those are compiled in too."""
    for source in sources:
        import_module(source.removesuffix(".py").replace("/", "."))
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    ours = {
        Path(file).relative_to(root).as_posix() for file in files if file and _is_ours(root, file)
    }
    return sorted(ours)


def _is_ours(root: Path, file: str) -> bool:
    return any(Path(file).is_relative_to(root / top) for top in ("libs", "services"))


def main() -> None:
    with suppress(OSError, Stale):
        compiled_modules(ROOT)
        sys.stdout.write(f"{FOLDER}/ is what the sources say\n")
        return
    with tempfile.TemporaryDirectory(prefix="farebox-compiled-") as work:
        built = compile_all(ROOT, SOURCES, Path(work))
        write(ROOT, SOURCES, built)
    sys.stdout.write(f"{len(SOURCES)} modules compiled into {FOLDER}/\n")


if __name__ == "__main__":
    main()
