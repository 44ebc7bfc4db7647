"""Numbers and names that stand in tables and subjects: changing one loses data or a right."""

import json
from pathlib import Path

import pytest

from libs.events.codec import Malformed, decode_command
from libs.events.commands import CLASSES, COMMANDS, KIND_CODES, KIND_NAMES, needs_deadline
from libs.events.events import EVENTS, MONEY_EVENTS, TYPE_CODES, TYPE_NAMES
from libs.events.fingerprints import fact_names, fingerprint
from libs.events.replies import DECLINE_CODES, FINAL_REPLIES, REPLIES, REPLY_TO
from tests.contract import examples

GOLDEN = Path(__file__).parent / "golden"

# kind: (code, classes, has a deadline, facts)
KINDS = {
    "OpenAccount": (1, "admin", False, "unit plan initial external_id_hash"),
    "ChangePlan": (2, "admin", False, "plan"),
    "CloseAccount": (3, "admin", False, "write_off"),
    "FreezeAccount": (4, "money admin", False, "reason revoke_keys"),
    "UnfreezeAccount": (5, "money admin", False, "reason revoke_keys"),
    "IssueKey": (
        6,
        "use admin",
        True,
        (
            "key_id secret_hash purpose allowed cap_total cap_day cap_month expires_at rotates"
            " overlap_ms"
        ),
    ),
    "RevokeKey": (7, "use money admin", False, "key_id"),
    "SetSpendLimits": (8, "use admin", False, "day month alerts"),
    "GrantCredits": (
        9,
        "money admin",
        False,
        "source amount priority shelf_months expires_at paid payment attempt_id",
    ),
    "Reserve": (
        10,
        "use",
        True,
        "key_id operation amount at_least hold_ms at_deadline catalogue fee attached_cost_ceiling",
    ),
    "Extend": (11, "use", True, "res total hold_ms used_so_far"),
    "Settle": (12, "use", False, "res charge margin basis"),
    "Release": (13, "use admin", False, "res"),
    "Attach": (14, "use", True, "res call_id cost_bound hold_ms"),
    "Detach": (15, "use", False, "res call_id cost"),
    "Refund": (16, "admin", False, "res amount whole"),
    "Clawback": (17, "money admin", False, "payment grant_no cause returned paid amount"),
    "ReverseClawback": (18, "money", False, "cause"),
    "ConfigureRecharge": (
        19,
        "use admin",
        False,
        "enabled threshold basis amount pack cap_charge cap_day cap_month",
    ),
    "StartRecharge": (20, "recharge", True, "attempt_id credits price"),
    "RecordRechargeFailure": (21, "money", False, "attempt_id class"),
    "ResumeRecharge": (22, "use admin money", False, "reason"),
    "PublishCatalogue": (23, "admin", False, "hash effective_from withdraws"),
    "ExpireReservation": (24, "", False, ""),
    "ExpireGrant": (25, "", False, ""),
    "StartIncarnation": (26, "", False, ""),
}
TYPES = [
    "AccountOpened",
    "PlanChanged",
    "AccountClosed",
    "AccountFrozen",
    "AccountUnfrozen",
    "KeyIssued",
    "KeyRevoked",
    "SpendLimitsSet",
    "CreditsGranted",
    "CreditsReserved",
    "ReservationExtended",
    "CreditsCharged",
    "CreditsReleased",
    "ReservationExpired",
    "CallAttached",
    "CallDetached",
    "CreditsRefunded",
    "CreditsExpired",
    "CreditsClawedBack",
    "ClawbackReversed",
    "RechargeConfigured",
    "BalanceFellBelowThreshold",
    "RechargeStarted",
    "RechargeFailed",
    "RechargeResumed",
    "CataloguePublished",
    "IncarnationStarted",
]


def test_the_commands_are_exactly_these():
    assert list(COMMANDS) == list(KINDS)
    assert all(cls.__name__ == kind for kind, cls in COMMANDS.items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_keeps_its_code_classes_deadline_and_facts(kind):
    code, classes, deadline, facts = KINDS[kind]
    assert KIND_CODES[kind] == code
    assert KIND_NAMES[code] == kind
    assert CLASSES[kind] == frozenset(classes.split())
    assert needs_deadline(kind) is deadline
    assert fact_names(kind) == tuple(facts.split())


def test_the_events_are_exactly_these_with_these_codes():
    assert list(EVENTS) == TYPES
    assert {name: code for code, name in enumerate(TYPES, start=1)} == TYPE_CODES
    assert {TYPE_NAMES[code]: code for code in TYPE_NAMES} == TYPE_CODES
    assert all(code < 2**15 for code in TYPE_NAMES)


def test_money_events_and_no_others_carry_the_balances():
    with_balances = {name for name, data in examples.EVENTS.items() if "available" in data}
    assert with_balances == MONEY_EVENTS
    assert all("reserved" in examples.EVENTS[name] for name in MONEY_EVENTS)


def test_fingerprints_of_the_examples_never_change():
    """They are stored: another fingerprint of the same command would be a false Conflict."""
    golden = json.loads((GOLDEN / "fingerprints.json").read_text(encoding="ascii"))
    assert set(golden) == set(COMMANDS)
    for kind, recorded in golden.items():
        command = decode_command(json.dumps(examples.command(kind)).encode())
        assert not isinstance(command, Malformed), command
        assert fingerprint(command).hex() == recorded, kind


def test_replies_are_final_but_busy_and_retry():
    assert set(REPLIES) - FINAL_REPLIES == {"Busy", "Retry"}
    assert set(REPLY_TO) == {kind for kind, classes in CLASSES.items() if classes}
    assert set(REPLY_TO.values()) <= FINAL_REPLIES


def test_decline_codes_are_exactly_these():
    assert (
        frozenset(
            [
                "unknown_account",
                "account_frozen",
                "account_closed",
                "account_not_empty",
                "unit_mismatch",
                "not_integral",
                "unknown_key",
                "key_revoked",
                "key_expired",
                "key_not_allowed",
                "too_many_keys",
                "insufficient_balance",
                "key_cap_total",
                "key_cap_day",
                "key_cap_month",
                "account_cap_day",
                "account_cap_month",
                "deadline_passed",
                "unknown_catalogue",
                "too_many_grants",
                "grant_expired",
                "unknown_grant",
                "unknown_reservation",
                "reservation_expired",
                "hold_too_short",
                "attached_ceiling",
                "too_many_calls",
                "calls_open",
                "refund_exceeds_charge",
                "unknown_payment",
                "unknown_cause",
                "recharge_disabled",
                "recharge_not_needed",
                "recharge_open",
                "recharge_cap_charge",
                "recharge_cap_day",
                "recharge_cap_month",
                "recharge_too_early",
                "recharge_suspended",
                "unknown_attempt",
                "already_closed",
            ]
        )
        == DECLINE_CODES
    )
