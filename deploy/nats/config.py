"""The server's configuration, made from the permission table beside this file."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("permissions.toml")


@dataclass(frozen=True)
class Rights:
    """Subjects a user may publish to and subscribe to; everything else is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def permissions() -> Mapping[str, Rights]:
    """Return the rights of each NATS user, in the table's order."""
    table = tomllib.loads(TABLE.read_text())
    return {
        user: Rights(tuple(rights["publish"]), tuple(rights["subscribe"]))
        for user, rights in table.items()
    }


def password_variable(user: str) -> str:
    """Return the environment variable that holds a user's password, for the server and for us."""
    return f"FAREBOX_NATS_{user.upper()}_PASSWORD"


def server_config(*, port: int, monitor_port: int, store: Path) -> str:
    """Return the text of nats.conf. Passwords stay outside: the server reads them from its own
    environment (`password_variable`) and refuses to start when one is missing.
    """
    users = "\n".join(_user(name, rights) for name, rights in permissions().items())
    return f"""\
server_name: farebox
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor_port}"
max_payload: 1MB
# sync_interval: an acknowledged message is on the disk, not two minutes later.
jetstream {{ store_dir: {json.dumps(str(store))}, sync_interval: always, max_file_store: 10GB }}
authorization {{ users: [
{users}
] }}
"""


def _user(name: str, rights: Rights) -> str:
    return (
        f"  {{ user: {name}, password: ${password_variable(name)}, permissions: {{\n"
        f"      publish: {{ allow: {_subjects(rights.publish)} }}\n"
        f"      subscribe: {{ allow: {_subjects(rights.subscribe)} }} }} }}"
    )


def _subjects(subjects: Iterable[str]) -> str:
    # Quoted, "$JS" is literal text; bare it would be a variable.
    return json.dumps(list(subjects))
