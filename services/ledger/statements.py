"""SQL stands in .sql files: `-- name: x` begins the statement x."""

import re
from importlib.resources import files


def load(name: str) -> dict[str, str]:
    """The statements of a file of this package, by name. ValueError when a name is used twice."""
    parts = re.split(
        r"^-- name: (\w+)\n", files(__package__).joinpath(name).read_text(), flags=re.MULTILINE
    )
    names = parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{name} names a statement twice")
    return dict(zip(names, (part.strip() for part in parts[2::2]), strict=True))
