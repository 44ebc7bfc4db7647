import hashlib
from pathlib import Path

import orjson
import pytest

from libs.events.chain import GENESIS, BrokenLinkError, verify_link
from libs.events.codec import decode_event
from libs.events.postings import postings
from tests.contract.chain_example import chain

GOLDEN = Path(__file__).parent / "golden"
LINES = (GOLDEN / "chain.jsonl").read_bytes().splitlines()
HEAD = (GOLDEN / "chain.head").read_text(encoding="ascii").strip()
KNOWN_HEAD = "8ac984d899ae36c4acf4c3efce91ed084dee645db57f0ef0484ae4c058df0de0"


def head_of(lines: list[bytes]) -> str:
    prev = GENESIS
    for version, raw in enumerate(lines, start=1):
        prev = verify_link(raw, prev, version).hex()
    return prev


@pytest.mark.requirement("AUD-4")
def test_ten_events_lead_to_the_known_head():
    assert len(LINES) == 10
    assert head_of(LINES) == HEAD == KNOWN_HEAD


def test_the_head_needs_nothing_of_ours_to_be_recomputed():
    prev = "0" * 64
    for raw in LINES:
        assert orjson.loads(raw)["prev"] == prev
        prev = hashlib.sha256(raw).hexdigest()
    assert prev == KNOWN_HEAD


def test_the_example_still_gives_the_committed_chain():
    assert chain() == LINES


@pytest.mark.parametrize("line", range(10))
def test_one_changed_byte_anywhere_is_found(line):
    raw = LINES[line]
    for at in range(0, len(raw), 7):
        forged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises((BrokenLinkError, AssertionError)):
            assert head_of([*LINES[:line], forged, *LINES[line + 1 :]]) == KNOWN_HEAD


@pytest.mark.parametrize("dropped", range(10))
def test_a_missing_event_is_found(dropped):
    lines = [raw for number, raw in enumerate(LINES) if number != dropped]
    if dropped == 9:
        assert head_of(lines) != KNOWN_HEAD
    else:
        with pytest.raises(BrokenLinkError):
            head_of(lines)


def test_two_events_in_the_wrong_order_are_found():
    with pytest.raises(BrokenLinkError) as caught:
        head_of([LINES[0], LINES[2], LINES[1], *LINES[3:]])
    assert caught.value.field == "prev"


def test_a_chain_that_was_rehashed_with_a_wrong_version_is_found():
    with pytest.raises(BrokenLinkError) as caught:
        verify_link(LINES[3], hashlib.sha256(LINES[2]).hexdigest(), 5)
    assert (caught.value.field, caught.value.expected, caught.value.found) == ("version", 5, 4)


def test_every_line_is_a_whole_event():
    for raw in LINES:
        assert decode_event(raw) == orjson.loads(raw)


def test_the_postings_of_the_chain_give_the_balances_it_states():
    sums = {"available": 0, "reserved": 0}
    for raw in LINES:
        body = orjson.loads(raw)
        for line in postings(body["type"], body["data"], "USD"):
            sums[line.account] = sums.get(line.account, 0) + line.amount
        if "available" in body["data"]:
            stated = {name: int(body["data"][name]) for name in ("available", "reserved")}
            assert {name: sums[name] for name in stated} == stated
    assert sum(sums.values()) == 0
