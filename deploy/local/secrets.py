import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.errors import LocalServerError


class Secrets(Mapping[str, str]):
    """Generated secrets of one data folder, kept in `secrets.env` (mode 0600).

    A variable that is already set in the environment wins and is not written down. A name that
    has no value yet gets a random one when it is first asked for.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._kept = _read(file)

    def __getitem__(self, name: str) -> str:
        if value := os.environ.get(name):
            return value
        if name not in self._kept:
            self._keep(name, secrets.token_urlsafe(32))
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def _keep(self, name: str, value: str) -> None:
        kept = {**self._kept, name: value}
        text = "".join(f"{key}={kept[key]}\n" for key in sorted(kept))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.file)
        self._kept = kept


def _read(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    if file.stat().st_mode & 0o077:
        raise LocalServerError(f"{file} can be read by others: chmod 600 {file}")
    kept: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        name, equals, value = line.partition("=")
        if not equals or not name or not value:
            raise LocalServerError(f"{file}, line {number}: expected NAME=value")
        kept[name] = value
    return kept
