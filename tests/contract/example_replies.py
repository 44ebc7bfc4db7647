"""The data of one full example of every reply."""

from typing import Any

from tests.contract.example_values import (
    ATTEMPT,
    CATALOGUE,
    GRANT,
    KEY,
    LATER,
    NEXT_YEAR,
    RES,
)

BALANCES = {"available": "9988551640", "reserved": "11448360"}
NO_EXPIRY = {"key_id": KEY, "expires_at": None}
RECHARGE = {"attempt_id": ATTEMPT, "next_at": LATER, "suspended": False}

REPLIES: dict[str, dict[str, Any]] = {
    "Opened": {"unit": "USD", "plan": "payg", **BALANCES},
    "PlanSet": {"plan": "studio"},
    "Closed": {"reason_code": "requested", **BALANCES},
    "Frozen": {"reason": "manual"},
    "Unfrozen": {"reason": "manual"},
    "Issued": {"key_id": KEY, "expires_at": NEXT_YEAR},
    "Revoked": NO_EXPIRY,
    "LimitsSet": {"key_id": None, "expires_at": None},
    "Granted": {"grant_id": GRANT, "grant_no": 1, "expires_at": NEXT_YEAR, **BALANCES},
    "Reserved": {"res": RES, "amount": "11448360", "expires_at": LATER, **BALANCES},
    "Extended": {"res": RES, "total": "22896720", "expires_at": LATER, **BALANCES},
    "Settled": {
        "res": RES,
        "charge": "1100000",
        "released": "10348360",
        "loss": "0",
        "flags": ["estimated"],
        **BALANCES,
    },
    "Released": {"res": RES, "released": "11448360", **BALANCES},
    "Attached": {"res": RES, "call_id": "call-1", "cost_bound": "1000000", "until": LATER},
    "Detached": {"res": RES, "call_id": "call-1", "cost": "900000"},
    "Refunded": {"res": RES, "refund_no": 1, "amount": "600000", "child": None, **BALANCES},
    "ClawedBack": {
        "cause": "dispute:dp_1",
        "payment": "pi_1",
        "grants": [1],
        "amount": "9000000000",
        "due": "11448360",
        "shortfall": "0",
        **BALANCES,
    },
    "Reversed": {
        "cause": "dispute:dp_1",
        "grants": [1],
        "amount": "9000000000",
        "due_cancelled": "0",
        "shortfall_cancelled": "0",
        **BALANCES,
    },
    "Configured": {"attempt_id": None, "next_at": None, "suspended": None},
    "Started": {"attempt_id": ATTEMPT, "next_at": None, "suspended": None},
    "FailureRecorded": RECHARGE,
    "Resumed": {"attempt_id": None, "next_at": None, "suspended": False},
    "Published": {"hash": CATALOGUE},
    "Declined": {
        "code": "insufficient_balance",
        "required": "11448360",
        "available": "1",
        "reserved": "0",
        "total": "1",
        "limit_source": "balance",
        "until": None,
        "parameter": None,
    },
    "Conflict": {"code": "fingerprint", "first_position": 12},
    "Busy": {"retry_after_ms": 200},
    "Retry": {},
    "Malformed": {"error": "Reserve.data.amount: Input should be a valid string"},
    "RejectedByStore": {"sqlstate": "23514"},
}
