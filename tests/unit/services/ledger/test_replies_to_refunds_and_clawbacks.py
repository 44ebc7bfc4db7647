"""Replies that add up several events are what the reply's schema promises."""

import orjson
import pytest

from libs.events.ids import new_id
from libs.events.replies import STRICT_REPLIES
from services.ledger.answers import Recorded, accepted
from services.ledger.domain.state import Accepted
from tests.support.credit_lives import Life
from tests.support.deciding import clawback, grant, refund, reserve, reverse, settle

pytestmark = pytest.mark.requirement("CRD-7", "PAY-4")


def reply_to(life, command):
    before = len(life.rules.events)
    assert isinstance(life.rules.run(command), Accepted)
    events = [
        Recorded(before + n, e.type, e.data) for n, e in enumerate(life.rules.events[before:])
    ]
    return accepted(command.kind, life.account, 1, events, events[-1].position)


def test_a_refund_to_two_grants_and_a_claim_on_them_are_summed_up():
    life, res = Life(), new_id("req")
    for command in life.begin():
        life.rules.run(command)
    ends = life.rules.at.replace(day=21)
    told = [
        grant(life.account, 40, source="purchase", payment="pi_1", expires_at=ends),
        grant(life.account, 60, source="purchase", payment="pi_1"),
        reserve(life.account, life.key, 100, life.rules.at, res=res),
        settle(life.account, res, 100),
    ]
    for command in told:
        reply_to(life, command)
    life.rules.after(days=2)
    replies = [
        reply_to(life, refund(life.account, res, 90)),
        reply_to(life, clawback(life.account, "pi_1", 1, 1, "dispute:dp_1")),
        reply_to(life, reverse(life.account, "dispute:dp_1")),
    ]
    for reply in replies:
        STRICT_REPLIES[reply["reply"]].model_validate_json(orjson.dumps(reply))
    refunded, clawed, restored = (reply["data"] for reply in replies)
    assert (refunded["amount"], refunded["child"]["grant_no"]) == ("90", 3)
    assert (clawed["amount"], clawed["shortfall"], clawed["grants"]) == ("90", "10", [1, 2, 3])
    assert (restored["amount"], restored["shortfall_cancelled"]) == ("90", "10")
