"""Secrets in an .env beside farebox.toml, read by the commands a person types."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values


def load_env(config: Path, environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Take over what the .env beside `config` names; return the names that were taken.

    A variable that is already set wins, and an empty value says nothing.
    """
    file = config.absolute().parent / ".env"
    if not file.is_file():
        return []
    # A password may hold a $: nothing in it is expanded.
    values = dotenv_values(file, interpolate=False)
    taken = [name for name, value in values.items() if value and not environment.get(name)]
    environment.update({name: values[name] or "" for name in taken})
    return taken
