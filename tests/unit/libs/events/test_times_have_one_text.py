from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.times import from_text, to_text

FIRST = datetime.fromisoformat("2000-01-01")
LAST = datetime.fromisoformat("2999-12-31")
moments = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


@given(moments)
def test_a_moment_survives_its_text(moment):
    text = to_text(moment)
    assert len(text) == 27
    assert from_text(text) == moment
    assert from_text(text).tzinfo is UTC


@given(moments, moments)
def test_texts_sort_like_moments(one, other):
    assert (to_text(one) < to_text(other)) == (one < other)


def test_another_zone_is_turned_into_utc():
    east = datetime(2026, 11, 20, 21, 10, 38, tzinfo=timezone(timedelta(hours=2)))
    assert to_text(east) == "2026-11-20T19:10:38.000000Z"


def test_a_naive_moment_is_refused():
    with pytest.raises(ValueError):
        to_text(FIRST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-20",
        "2026-11-20T19:10:38Z",
        "2026-11-20T19:10:38.000Z",
        "2026-11-20T19:10:38.000123+00:00",
        "2026-11-20 19:10:38.000123Z",
        "2026-02-30T19:10:38.000123Z",
        "2026-11-20T25:10:38.000123Z",
        "0026-11-20T19:10:38.000123Z",
        "2026-11-20T19:10:38.000123Z\n",
        "٢٠٢٦-11-20T19:10:38.000123Z",
    ],
)
def test_any_other_form_is_refused(text):
    with pytest.raises(ValueError):
        from_text(text)
