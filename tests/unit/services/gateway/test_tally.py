"""What an answer that was broken off comes to."""

import pytest

from libs.catalogue import Usage
from services.gateway.estimate import text_bound
from services.gateway.surfaces.anthropic_meter import MessageMeter
from services.gateway.tally import Tally
from tests.unit.services.gateway.offering import offer
from tests.unit.services.gateway.surfaces.test_message_meter import start, text

pytestmark = pytest.mark.requirement("RSV-2", "PRC-1")

OFFER = offer()
BOUND = text_bound(OFFER, size=4_000, tools=False, asked=100, choices=1)
SENT = 400


def so_far(told: dict | None) -> Usage:
    meter = MessageMeter()
    meter.feed((start(told) if told is not None else b"") + text("four and four and four "))
    return Tally(OFFER, BOUND, BOUND.cap).so_far(meter, SENT)


def test_input_that_the_stream_has_told_is_no_estimate():
    told = {"input_tokens": 900, "cache_read_input_tokens": 70, "output_tokens": 1}
    assert so_far(told) == Usage(970, 70, 7)


@pytest.mark.parametrize("told", [None, {}, {"input_tokens": 0, "output_tokens": 0}])
def test_input_that_was_not_told_is_estimated(told: dict | None):
    assert so_far(told) == Usage(SENT // 4, 0, 7)
