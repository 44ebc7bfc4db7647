"""Tags are of one form, or the request is refused by name."""

import pytest

from services.gateway.errors import Refusal
from services.gateway.tags import tags_of

pytestmark = pytest.mark.requirement("ACC-8")


def given(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"farebox-tags", text.encode("latin-1"))]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("team=search", {"team": "search"}),
        (" team=search , run_7=a=b c ", {"team": "search", "run_7": "a=b c"}),
        ("empty=", {"empty": ""}),
        ("", {}),
    ],
)
def test_names_and_values(text, tags):
    assert tags_of(given(text)) == tags


def test_without_the_header_there_are_none():
    assert tags_of([(b"host", b"x")]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "team",
        "Team=x",
        "=x",
        "a=1,a=2",
        "a=" + "x" * 65,
        "a" * 33 + "=x",
        "a=\x7f",
        "a=\xe9",
        ",".join(f"t{n}=x" for n in range(9)),
    ],
)
def test_any_other_form_is_refused_by_name(text):
    with pytest.raises(Refusal) as refused:
        tags_of(given(text))
    assert (refused.value.status, refused.value.param) == (400, "farebox-tags")
