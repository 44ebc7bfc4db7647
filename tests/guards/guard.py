import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("guards.toml")


@dataclass(frozen=True)
class Guard:
    """One line of defence: where it stands, what the code is without it, who must notice."""

    name: str
    file: str
    guard: str
    removed: str
    test: str

    def problem(self, root: Path) -> str | None:
        """Why this guard cannot be removed from the tree as it stands, None when it can."""
        path = root / self.file
        if not path.exists():
            return f"{self.name}: {self.file} is not there"
        found = path.read_text().count(self.guard)
        if found != 1:
            return f"{self.name}: its text stands {found} times in {self.file}, not once"
        test = root / self.test.partition("::")[0]
        if not test.exists() or self.test.rpartition("::")[2] not in test.read_text():
            return f"{self.name}: there is no test {self.test}"
        return None

    def remove(self, root: Path) -> None:
        path = root / self.file
        path.write_text(path.read_text().replace(self.guard, self.removed))


def guards() -> list[Guard]:
    entries = tomllib.loads(TABLE.read_text())
    return [Guard(name=name, **entry) for name, entry in entries.items()]
