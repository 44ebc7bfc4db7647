"""A search that finds nothing proves nothing, unless it finds what was put there."""

import os
import subprocess
import sys

import pytest

from services.ledger.domain import reservations
from tests.seeded.simulation import simulate

SEEDS = range(40)
STEPS = 200


def first_finding(**mutations: bool) -> str:
    for seed in SEEDS:
        outcome = simulate(seed, STEPS, **mutations)
        if outcome.findings:
            return outcome.findings[0]
    return ""


def test_answering_before_the_append_is_found():
    """A reply that left before the commit tells of what a crash undid."""
    assert first_finding(answers_before_commit=True)


def test_skipping_the_look_up_of_commands_is_found():
    """A repeat that is decided again breaks the key of its command."""
    finding = first_finding(forgets_commands=True)
    assert "RejectedByStore" in finding or "Declined" in finding or "died" in finding, finding


def test_a_hold_that_takes_more_than_it_says_is_found(monkeypatch):
    honest = reservations.allocate
    monkeypatch.setattr(
        reservations, "allocate", lambda grants, amount: honest(grants, max(0, amount - 1))
    )
    assert "invariant" in first_finding()


def test_a_seed_is_the_same_story_every_time():
    first, second = simulate(7, 120), simulate(7, 120)
    assert first.trace == second.trace
    assert simulate(8, 120).digest != first.digest


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_the_same_story_in_every_process(hash_seed):
    command = [sys.executable, "-m", "tests.seeded", "--seed", "7", "--steps", "120"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert simulate(7, 120).digest in done.stdout


def test_the_search_meets_what_it_is_for():
    """Every kind of trouble happens, or its absence from the findings would mean nothing."""
    outcomes = [simulate(seed, STEPS) for seed in range(40)]
    trace = "\n".join(line for outcome in outcomes for line in outcome.trace)
    troubles = (
        "kills", "usurps", "sets the clock", "gives up", "outcome of an append is unknown",
        "RejectedByStore", "journal sends Release", "'flags': ['late'", "overrun", "Refunded",
        "ClawedBack", "Reversed", "key_cap", "account_cap", "account_frozen", "Retry",
    )  # fmt: skip
    assert [trouble for trouble in troubles if trouble not in trace] == []
    types = {kind for outcome in outcomes for kind in outcome.types}
    assert types >= {
        "ReservationExpired",
        "RechargeStarted",
        "ReservationExtended",
        "CreditsExpired",
        "KeyRevoked",
    }
