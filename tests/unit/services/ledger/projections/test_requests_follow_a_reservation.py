"""A receipt tells what became of one request, however it ended."""

import orjson
import pytest

from services.ledger.projections import requests
from services.ledger.projections.requests import UnknownRequest
from tests.support.log_builder import LogBuilder


@pytest.fixture
def story():
    builder = LogBuilder()
    name = builder.account()
    builder.grant(name, 10_000)
    return builder, name, builder.key(name)


def receipt(builder, res):
    row = None
    for raw in builder.rows:
        event = orjson.loads(raw[5])
        subject = requests.subject(event)
        if subject == res[4:]:
            row = requests.apply(row, event)
    return row


def test_an_admitted_request_is_visible_before_it_ends(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700, tags={"team": "blue"}, operation="swift-1")
    row = receipt(builder, res)
    assert (row.state, row.reserved, row.charge, row.closed_at) == ("open", 700, 0, None)
    assert row.key_id == key[4:]
    assert row.opened_position == builder.position
    assert row.opened_at == builder.at
    assert orjson.loads(row.tags) == {"team": "blue"}
    assert row.available_after is None


def test_a_settled_request_has_cost_charge_route_and_usage(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700)
    builder.settle(res, 500, margin="-45", cost_pico="454545")
    row = receipt(builder, res)
    assert (row.state, row.charge, row.released, row.loss) == ("settled", 500, 200, 0)
    assert (row.margin, row.cost_pico, row.status, row.finish) == (-45, 454545, 200, "stop")
    assert orjson.loads(row.usage) == {"input_tokens": 10, "output_tokens": 5}
    assert (row.model, row.route, row.route_reason) == ("swift-1", "north/swift-1", "first")
    assert row.closed_position == builder.position
    assert row.available_after == 9500


def test_a_failed_request_is_released_with_its_attempts(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700)
    builder.release(res)
    row = receipt(builder, res)
    assert (row.state, row.charge, row.released, row.status) == ("released", 0, 700, 503)
    assert orjson.loads(row.attempts)[0]["upstream"] == "north"
    assert row.available_after == 10_000


def test_an_unsettled_request_shows_our_loss(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700)
    builder.expire(res, loss=90)
    row = receipt(builder, res)
    assert (row.state, row.released, row.loss, row.loss_kind) == ("expired", 700, 90, "unsettled")


def test_a_late_settlement_adds_to_what_the_expiry_booked(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700)
    builder.expire(res, charge=100)
    builder.settle_late(name, res, 300)
    row = receipt(builder, res)
    assert (row.state, row.charge, row.released) == ("settled", 400, 600)
    assert row.usage is not None


def test_an_extension_raises_what_is_held(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700)
    builder.extend(res, 50)
    assert receipt(builder, res).reserved == 750


def test_refunds_add_up_on_the_receipt(story):
    builder, name, key = story
    res = builder.reserve(name, key, 700)
    builder.settle(res, 500)
    builder.refund(name, res, 200)
    builder.refund(name, res, 100)
    row = receipt(builder, res)
    assert (row.state, row.charge, row.refunded) == ("settled", 500, 300)


def test_a_fee_stands_until_an_event_reverses_it(story):
    builder, name, key = story
    fee = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
    kept = builder.reserve(name, key, 10, fee=fee)
    builder.settle(kept, 10)
    assert orjson.loads(receipt(builder, kept).fee) == fee
    reversed_ = builder.reserve(name, key, 10, fee=fee)
    hold = builder.holds.pop(reversed_)
    data = {
        "res": reversed_, "amount": "10", "returned": hold["from"], "reason_code": "failed",
        "fee_reversed": fee, "route": None, "attempts": [], "status": None,
    }  # fmt: skip
    builder.event("CreditsReleased", name, data)
    assert receipt(builder, reversed_).fee is None


def test_an_event_without_its_reservation_is_refused(story):
    builder, name, key = story
    res = builder.reserve(name, key, 10)
    event = builder.settle(res, 10)
    with pytest.raises(UnknownRequest):
        requests.apply(None, event)


def test_other_events_change_no_receipt(story):
    builder, _, _ = story
    assert [requests.subject(orjson.loads(row[5])) for row in builder.rows] == [None, None, None]
