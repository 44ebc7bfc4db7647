"""docs/reference/settings.md is what the grammar says."""

from pathlib import Path

from libs.catalogue.grammar import FILE, PLAN
from libs.catalogue.reference import PAGE, settings_page

ROOT = Path(__file__).parents[4]


def test_the_committed_page_is_current():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == settings_page(), (
        "run python -m libs.catalogue.reference"
    )


def test_the_page_names_every_section_and_marks_what_is_not_built():
    page = settings_page()
    assert all(f"## [{name}" in page for name in FILE.keys)
    assert all(f"| `plans.<name>.{name}" in page for name in PLAN.keys)
    assert "| `plans.<name>.included` |  |  | *Not built yet.*" in page
