"""Slots of ten seconds: what is due is found, what was closed costs nothing any more."""

from services.ledger.deadlines import Deadlines
from services.ledger.domain.state import Reservation

TIMES = ("00:00:03", "00:00:09", "00:00:10", "00:01:00", "23:59:59")


def hold(time):
    return Reservation(
        f"req_{time}", "acct", "key", "op", 1, ((1, 1),), f"2026-11-29T{time}.000000Z", "release",
        "0" * 64, "2026-11-29",
    )  # fmt: skip


def due(deadlines, time):
    return [res[4:] for res in deadlines.until(f"2026-11-29T{time}.000000Z")]


def test_every_hold_of_a_slot_that_has_begun_is_named_earlier_slots_first():
    deadlines = Deadlines()
    for time in reversed(TIMES):
        deadlines.add(hold(time))
    assert due(deadlines, "00:00:02") == ["00:00:09", "00:00:03"], "the whole slot, to be looked at"
    assert due(deadlines, "00:00:10") == ["00:00:09", "00:00:03", "00:00:10"]
    assert sorted(due(deadlines, "23:59:59")) == sorted(TIMES)


def test_what_is_closed_or_extended_leaves_its_slot_and_empty_slots_go():
    deadlines = Deadlines()
    first, later = (
        hold("00:00:03"),
        hold("00:00:03")._replace(expires_at=hold("00:01:00").expires_at),
    )
    deadlines.add(first)
    deadlines.remove(first)
    deadlines.remove(first)
    deadlines.add(later)
    assert due(deadlines, "00:00:59") == []
    assert due(deadlines, "00:01:00") == ["00:00:03"]
    deadlines.remove(later)
    assert not deadlines._slots
