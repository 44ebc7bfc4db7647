"""Write the schemas and the reference page: `python -m libs.events.schemas_gen`."""

from pathlib import Path
from typing import Final

from libs.events.reference import reference_page
from libs.events.schemas_text import schema_files

SCHEMAS: Final = Path(__file__).parent / "schemas"
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "events.md"


def expected_files() -> dict[Path, str]:
    """Every generated file and its text."""
    files = {SCHEMAS / path: text for path, text in schema_files()}
    files[PAGE] = reference_page()
    return files


def main() -> None:
    """Write what is expected, remove schemas of messages that are no more."""
    files = expected_files()
    for stray in set(SCHEMAS.glob("*/*.json")) - set(files):
        stray.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
