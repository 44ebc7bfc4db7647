"""Every event of the catalogue, in the bytes that are kept for good, meets both projections."""

from pathlib import Path

import orjson
import pytest

from libs.events.events import EVENTS, MONEY_EVENTS
from libs.events.postings import postings
from services.ledger.projections import requests
from services.ledger.projections.entries import lines
from services.ledger.projections.requests import Request
from services.ledger.schema import entries as entries_table
from services.ledger.schema import requests as requests_table

GOLDEN = Path("tests/contract/golden/events")
EVENT_FILES = sorted(GOLDEN.glob("*.v1.json"))
HOLDS = {"reservation", "release"}


def body_of(name):
    return orjson.loads((GOLDEN / f"{name}.v1.json").read_bytes())


def test_there_is_a_golden_event_of_every_type():
    assert {path.name.removesuffix(".v1.json") for path in EVENT_FILES} == set(EVENTS)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_lines_are_the_postings_of_the_account(name):
    event = body_of(name)
    found = lines(event)
    assert bool(found) == (name in MONEY_EVENTS)
    booked = postings(name, event["data"], "USD")
    of = dict.fromkeys(("available", "reserved"), 0)
    for posting in booked:
        if posting.account in of:
            of[posting.account] += posting.amount
    assert sum(line.amount for line in found) == of["available"]
    assert sum(-line.amount for line in found if line.type in HOLDS) == of["reserved"]
    if found:
        assert found[-1].available == int(event["data"]["available"])
        assert found[-1].reserved == int(event["data"]["reserved"])
        assert [line.line for line in found] == list(range(len(found)))


@pytest.mark.parametrize("name", sorted(requests.CHANGES))
def test_receipts_take_every_event_of_a_request(name):
    opened = requests.apply(None, body_of("CreditsReserved"))
    row = requests.apply(opened, body_of(name))
    assert isinstance(row, Request)
    assert requests.subject(body_of(name)) == body_of(name)["data"]["res"][4:]


def test_rows_have_exactly_the_columns_of_their_tables():
    entry = lines(body_of("CreditsReserved"))[0]
    assert set(entry._fields) | {"unit"} == set(entries_table.columns.keys())
    assert list(Request._fields) == list(requests_table.columns.keys())
