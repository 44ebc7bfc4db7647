from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.events import EVENTS, MONEY_EVENTS
from libs.events.money import MAX_AMOUNT
from libs.events.postings import Posting, postings, postings_rule
from tests.contract import examples

amounts = st.integers(0, MAX_AMOUNT)
positive = st.integers(1, MAX_AMOUNT)


def text(data: dict[str, int]) -> dict[str, str]:
    return {name: str(value) for name, value in data.items()}


@st.composite
def allocations(draw: Any, total: int) -> list[list[Any]]:
    """The total in up to five parts, of as many grants."""
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=4)))
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]
    return [[no, str(part)] for no, part in enumerate(parts, start=1) if part]


@st.composite
def charges(draw: Any) -> dict[str, Any]:
    """A settlement that is consistent in itself: within, above, or long after the hold."""
    held = draw(amounts)
    taken = draw(st.integers(0, held))
    extra = draw(amounts) if taken == held else 0
    loss = draw(amounts)
    charge = taken + extra
    return {
        **text({"reserved_was": held, "charge": charge, "extra": extra, "loss": loss}),
        "margin": str(draw(st.integers(-MAX_AMOUNT, charge))),
        "returned": draw(allocations(held - taken)),
        "loss_kind": draw(st.sampled_from(["overrun", "late"])) if loss else None,
    }


@st.composite
def expiries(draw: Any) -> dict[str, Any]:
    held = draw(positive)
    charge = draw(st.integers(0, held))
    return {
        **text({"amount": held, "charge": charge, "loss": draw(amounts)}),
        "margin": str(draw(st.integers(-MAX_AMOUNT, charge))),
        "returned": draw(allocations(held - charge)),
    }


DATA: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "CreditsGranted": st.fixed_dictionaries(
        {"amount": positive.map(str), "source": st.sampled_from(["purchase", "child", "admin"])}
    ),
    "CreditsReserved": st.fixed_dictionaries({"amount": positive.map(str)}),
    "ReservationExtended": st.fixed_dictionaries({"added": amounts.map(str)}),
    "CreditsCharged": charges(),
    "CreditsReleased": st.fixed_dictionaries({"amount": positive.map(str)}),
    "ReservationExpired": expiries(),
    "CreditsRefunded": st.fixed_dictionaries(
        {
            "amount": positive.map(str),
            "margin": st.integers(-MAX_AMOUNT, MAX_AMOUNT).map(str),
        }
    ),
    "CreditsExpired": st.fixed_dictionaries({"amount": positive.map(str)}),
    "CreditsClawedBack": st.fixed_dictionaries(
        {"amount": amounts.map(str), "shortfall": amounts.map(str)}
    ),
    "ClawbackReversed": st.fixed_dictionaries(
        {"amount": amounts.map(str), "shortfall_cancelled": amounts.map(str)}
    ),
}


def test_every_money_event_has_postings_and_no_other():
    assert set(DATA) == MONEY_EVENTS
    assert {name for name in EVENTS if postings_rule(name)} == MONEY_EVENTS


@pytest.mark.parametrize("name", DATA)
@given(data=st.data())
def test_the_postings_of_any_consistent_event_sum_to_zero(name, data):
    lines = postings(name, data.draw(DATA[name]), "EUR")
    assert sum(line.amount for line in lines) == 0
    assert all(line.amount for line in lines)
    assert {line.unit for line in lines} <= {"EUR"}


@pytest.mark.parametrize("name", sorted(MONEY_EVENTS))
def test_the_postings_of_the_golden_events_sum_to_zero(name):
    lines = postings(name, examples.EVENTS[name], "USD")
    assert lines
    assert sum(line.amount for line in lines) == 0


@pytest.mark.parametrize("name", sorted(set(EVENTS) - MONEY_EVENTS))
def test_an_event_that_moves_no_credits_has_no_postings(name):
    assert postings(name, examples.EVENTS[name], "USD") == []


def test_an_unknown_type_has_no_postings():
    assert postings("MoonPhaseChanged", {}, "USD") == []


def lines_of(name: str, **changes: Any) -> dict[str, int]:
    data = examples.EVENTS[name] | changes
    return {line.account: line.amount for line in postings(name, data, "USD")}


def test_each_event_posts_what_the_contract_says():
    assert lines_of("CreditsGranted") == {"issued:purchase": -(10**10), "available": 10**10}
    assert lines_of("CreditsReserved") == {"available": -11448360, "reserved": 11448360}
    assert lines_of("ReservationExtended") == {"available": -11448360, "reserved": 11448360}
    assert lines_of("CreditsCharged") == {
        "reserved": -1_000_000,
        "available": -100_000,
        "consumed": 1_100_000 + 10_000 + 100_000,
        "margin": -100_000,
        "operator_loss:overrun": -10_000,
    }
    assert lines_of("CreditsReleased") == {"reserved": -11448360, "available": 11448360}
    assert lines_of("ReservationExpired") == {
        "reserved": -22896720,
        "available": 11896720,
        "consumed": 10_000_000,
        "margin": 1_000_000,
    }
    assert lines_of("CreditsRefunded") == {
        "consumed": -(600_000 - 54_545),
        "margin": -54_545,
        "available": 600_000,
    }
    assert lines_of("CreditsExpired") == {"available": -8_900_000, "expired": 8_900_000}
    assert lines_of("CreditsClawedBack") == {
        "available": -9 * 10**9,
        "operator_loss:clawback": -988_551_640,
        "clawed_back": 9_988_551_640,
    }
    assert lines_of("ClawbackReversed") == {
        "available": 9 * 10**9,
        "operator_loss:clawback": 988_551_640,
        "clawed_back": -9_988_551_640,
    }


def test_a_released_hold_whose_use_was_known_is_an_unsettled_loss():
    lines = lines_of(
        "ReservationExpired",
        charge="0",
        margin="0",
        taken=[],
        returned=[[1, "22896720"]],
        loss="11000000",
    )
    assert lines == {
        "reserved": -22896720,
        "available": 22896720,
        "consumed": 11_000_000,
        "operator_loss:unsettled": -11_000_000,
    }


def test_a_late_settlement_moves_from_available_alone():
    lines = lines_of(
        "CreditsCharged",
        reserved_was="0",
        charge="700",
        margin="0",
        taken=[],
        returned=[],
        extra="700",
        loss="300",
        loss_kind="late",
    )
    assert lines == {"available": -700, "consumed": 1000, "operator_loss:late": -300}


def test_a_posting_names_account_amount_and_commodity():
    assert postings("CreditsReleased", {"amount": "5"}, "CREDIT") == [
        Posting("reserved", -5, "CREDIT"),
        Posting("available", 5, "CREDIT"),
    ]
