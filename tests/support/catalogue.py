"""The example catalogues that tests share."""

from pathlib import Path

_ROOT = Path(__file__).parents[2]

EXAMPLE = (_ROOT / "farebox.example.toml").read_text(encoding="utf-8")
WHOLE_GRAMMAR = (_ROOT / "tests/unit/libs/catalogue/whole_grammar.toml").read_text(encoding="utf-8")
