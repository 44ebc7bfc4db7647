"""The example catalogues that tests share."""

from pathlib import Path

_ROOT = Path(__file__).parents[2]

LIMITS = 'limits = { requests = 600, per = "60s", concurrent = 32 }'
"""Of both plans of the example."""
NO_LIMITS = 'limits = { requests = 1_000_000, per = "1s", concurrent = 100_000 }'
"""What no test meets that does not ask for a limit."""

EXAMPLE = (_ROOT / "farebox.example.toml").read_text(encoding="utf-8").replace(LIMITS, NO_LIMITS)
WHOLE_GRAMMAR = (_ROOT / "tests/unit/libs/catalogue/whole_grammar.toml").read_text(encoding="utf-8")
