"""Where a running installation is reached, and its passwords of the two users that bench is."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalServerError
from deploy.local.secrets import Secrets
from deploy.nats.config import password_variable

USERS = ("gateway", "admin")


class BenchError(Exception):
    """The installation could not be measured; the text says what to do about it."""


@dataclass(frozen=True)
class Access:
    """A NATS server, and the passwords of `USERS`."""

    url: str
    passwords: dict[str, str]


def access(nats_url: str, data: Path) -> Access:
    """The address that is given, else that of the installation in a folder. Raises BenchError."""
    ports = data / "run" / "ports.json"
    try:
        passwords = _passwords(data / "secrets.env")
        url = nats_url or f"nats://127.0.0.1:{json.loads(ports.read_text())['nats']}"
    except FileNotFoundError:
        raise BenchError(
            f"no installation runs in {data}: start it (`farebox up`), or name its folder with "
            "--data, or its server with --nats-url"
        ) from None
    except (LocalServerError, OSError, ValueError, KeyError) as error:
        raise BenchError(f"{data} cannot be read: {error}") from error
    missing = [password_variable(user) for user, password in passwords.items() if not password]
    if missing:
        raise BenchError(f"set {' and '.join(missing)}, or name the data folder with --data")
    return Access(url, passwords)


def _passwords(file: Path) -> dict[str, str]:
    """Those of the environment, else those that are kept. (Asking for another would make it.)"""
    kept = Secrets(file)
    names = {user: password_variable(user) for user in USERS}
    return {
        user: os.environ.get(name) or (kept[name] if name in set(kept) else "")
        for user, name in names.items()
    }
