"""What an upstream asks of us is read with care: it may be a date, or nonsense."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.gateway.failures import asked_pause, rejects


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_the_pause_that_is_asked_for(headers: dict[str, str], pause_s: float | None):
    assert asked_pause(headers) == pause_s


def test_a_pause_may_be_told_as_a_date():
    then = datetime.now(UTC) + timedelta(seconds=60)
    pause_s = asked_pause({"retry-after": format_datetime(then, usegmt=True)})
    assert pause_s is not None
    assert 50 < pause_s <= 60


def test_only_what_any_upstream_would_refuse_is_a_rejection():
    refused = [status for status in range(400, 500) if not rejects(status)]
    assert refused == [401, 402, 403, 407, 408, 429]
    assert not rejects(500)
    assert not rejects(200)
