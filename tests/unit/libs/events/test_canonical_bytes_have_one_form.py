import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.codec import canonical

keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)
bodies = st.dictionaries(keys, values, max_size=6)


@given(bodies)
def test_canonical_bytes_are_those_of_rfc_8785(body):
    """For ASCII keys and no floats that is: sorted, no blanks, UTF-8, shortest escapes."""
    expected = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(body) == expected.encode()
    assert json.loads(canonical(body)) == body


@given(bodies)
def test_the_order_of_keys_does_not_matter(body):
    assert canonical(dict(reversed(body.items()))) == canonical(body)


class Word(str):
    __slots__ = ()


class Color(enum.Enum):
    RED = 1


@dataclass
class Thing:
    x: int = 1


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        1.5,
        float("nan"),
        float("inf"),
        [1, [2.0]],
        {"a": {"b": [{"c": 0.1}]}},
        (1, (1.0,)),
        2**53,
        -(2**53),
        2**63,
        b"bytes",
        {1: "x"},
        {"a": {None: 1}},
        datetime(2026, 11, 20, tzinfo=UTC),
        Thing(),
        Word("x"),
        {1, 2},
        "\ud800",
    ],
    ids=repr,
)
@pytest.mark.requirement("CRD-1")
def test_what_readers_could_read_differently_is_refused(value):
    with pytest.raises(TypeError):
        canonical({"value": value})


def test_two_lists_of_the_same_look_the_same():
    assert canonical({"a": [[1, "5"]]}) == canonical({"a": [(1, "5")]}) == b'{"a":[[1,"5"]]}'


def test_escapes_are_the_shortest():
    raw = canonical({"k": '"\\/\b\f\n\r\t\x00\x1f\x7fé€😀'})
    assert raw.decode() == '{"k":"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7fé€😀"}'
