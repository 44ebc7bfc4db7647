"""The bound holds for the form that a tokenizer may bring a text into."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.surfaces.normal_form import _BLOCKS, normal_size

pytestmark = pytest.mark.requirement("PRC-2")


def bytes_after(text: str) -> int:
    return len(unicodedata.normalize("NFKC", text).encode())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("Hello", 5),
        ("漢字", 6),
        ("é", 2),
        ("각", 3),
        ("\ufdfa", 33),
        ("a\ufdfa\ufdfa", 67),
    ],
)
def test_a_text_counts_its_bytes_or_what_they_grow_to(text: str, size: int):
    assert normal_size(text) == size


def test_a_mark_that_breaks_a_character_apart_is_counted():
    text = "\u00e9\u0323"
    assert bytes_after(text) > len(text.encode())
    assert normal_size(text) >= bytes_after(text)


def test_characters_outside_the_blocks_neither_grow_nor_combine():
    inside = {code for first, last in _BLOCKS for code in range(first, last)}
    codes = [c for c in range(0x80, 0x110000) if c not in inside and not 0xD800 <= c < 0xE000]
    assert not any(unicodedata.combining(chr(code)) for code in codes)
    text = "".join(map(chr, codes))
    assert bytes_after(text) <= len(text.encode())


tricky = st.text(
    st.sampled_from(
        "ae<ο\u00e9\u1ebf\u1fa7\u0308\u0301\u0323\u0327\u0345\u0344\u1100\u1161\u11a8\uac00\ufdfa"
        "\u321d\u09c7\u09be\u0ddd\u0e49\u094d\u1ed9\u212b\u2f800\U0001d15e\u0f73\u3099\u30ab"
    ),
    max_size=12,
)


@given(tricky | st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_no_text_is_longer_than_its_bound_in_normal_form(text: str):
    assert normal_size(text) >= max(len(text.encode()), bytes_after(text))


@given(st.integers(0x80, 0x2FFFF).filter(lambda c: not 0xD800 <= c < 0xE000), tricky)
def test_no_character_is_broken_apart_by_more_than_is_counted(code: int, marks: str):
    text = chr(code) + marks
    assert normal_size(text) >= bytes_after(text)
