"""One full example of every message, as it travels. Golden files are made of the events here."""

from typing import Any

ACCOUNT = "acct_01a1fa0000007000800000000000a001"
KEY = "key_01a1fa0000017000800000000000b002"
OLD_KEY = "key_01a1fa0000007000800000000000b001"
RES = "req_01a1fa0000027000800000000000c003"
GRANT = "grant_01a1fa0000008000800000000000d004"
CHILD = "grant_01a1fa0000008000800000000000d005"
ATTEMPT = "rchg_01a1fa0000037000800000000000e006"
NOTE = "note_01a1fa0000047000800000000000f007"
CATALOGUE = "5f2b" * 16
OLD_CATALOGUE = "17c0" * 16
SECRET_HASH = "9e1d" * 16
EXTERNAL_HASH = "c3a8" * 16
TEXT_HASH = "44be" * 16
AT = "2026-11-20T19:10:38.000123Z"
LATER = "2026-11-20T19:15:38.000123Z"
NEXT_YEAR = "2027-11-20T19:10:38.000123Z"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
PAID = {"currency": "USD", "minor": 1000}
WINDOWS = {"day": "2026-11-20", "month": "2026-11"}
TRIES = [
    {"upstream": "north", "status": 529, "reason": "overloaded"},
    {"upstream": "south", "status": 200, "reason": None},
]
USAGE = {"input_tokens": 1200, "output_tokens": 350, "cached_tokens": 0}
TAGS = {"team": "search", "env": 'a "quoted" value'}

# kind: (caller id, data)
COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "OpenAccount": (
        ACCOUNT,
        {
            "unit": "USD",
            "plan": "payg",
            "initial": "20000000000",
            "external_id_hash": EXTERNAL_HASH,
            "external_id": "Kundë № 7",
            "catalogue": CATALOGUE,
        },
    ),
    "ChangePlan": (
        "01a1fa00-0005-7000-8000-000000000001",
        {"plan": "studio", "catalogue": CATALOGUE},
    ),
    "CloseAccount": (
        "close-1",
        {"write_off": True, "reason_code": "requested", "note": "asked by mail"},
    ),
    "FreezeAccount": (
        "freeze:dispute:dp_1",
        {"reason": "dispute:dp_1", "revoke_keys": True, "note": "card dispute"},
    ),
    "UnfreezeAccount": (
        "unfreeze:dispute:dp_1",
        {"reason": "dispute:dp_1", "revoke_keys": False, "note": "won"},
    ),
    "IssueKey": (
        KEY,
        {
            "key_id": KEY,
            "secret_hash": SECRET_HASH,
            "purpose": "inference",
            "prefix": "fb_2_AbCd",
            "allowed": ["swift-1", "score-image"],
            "cap_total": "100000000000",
            "cap_day": "5000000000",
            "cap_month": "50000000000",
            "expires_at": NEXT_YEAR,
            "rotates": OLD_KEY,
            "overlap_ms": 3600000,
            "name": "build server",
        },
    ),
    "RevokeKey": (f"revoke:{KEY}", {"key_id": KEY, "reason_code": "leaked"}),
    "SetSpendLimits": (
        "limits-1",
        {"day": "5000000000", "month": "50000000000", "alerts": [50, 80, 100]},
    ),
    "GrantCredits": (
        "topup:pi_1",
        {
            "source": "purchase",
            "amount": "10000000000",
            "priority": 100,
            "shelf_months": 12,
            "expires_at": NEXT_YEAR,
            "paid": PAID,
            "payment": "pi_1",
            "pack": "usd-10",
            "attempt_id": ATTEMPT,
            "catalogue": CATALOGUE,
            "reason_code": "pack",
            "note": "thanks",
        },
    ),
    "Reserve": (
        RES,
        {
            "key_id": KEY,
            "operation": "swift-1",
            "surface": "openai.chat",
            "amount": "11448360",
            "at_least": "1144836",
            "hold_ms": 300000,
            "at_deadline": "release",
            "catalogue": CATALOGUE,
            "fee": FEE,
            "attached_cost_ceiling": "50000000",
            "tags": TAGS,
        },
    ),
    "Extend": (
        f"extend:{RES}:1",
        {"res": RES, "total": "22896720", "hold_ms": 300000, "used_so_far": "11000000"},
    ),
    "Settle": (
        RES,
        {
            "res": RES,
            "charge": "1100000",
            "margin": "100000",
            "basis": "actual",
            "cost_pico": "1000000000",
            "usage": USAGE,
            "model": "swift-1",
            "route": "south/swift-1-b",
            "route_reason": "fallback",
            "attempts": TRIES,
            "finish": "stop",
            "status": 200,
        },
    ),
    "Release": (
        RES,
        {
            "res": RES,
            "reserve_deadline": LATER,
            "reason_code": "provider_failed",
            "route": "north/swift-1",
            "attempts": TRIES[:1],
            "status": 502,
        },
    ),
    "Attach": (
        "attach:call-1",
        {"res": RES, "call_id": "call-1", "cost_bound": "1000000", "hold_ms": 60000},
    ),
    "Detach": (
        "detach:call-1",
        {
            "res": RES,
            "call_id": "call-1",
            "cost": "900000",
            "usage": USAGE,
            "model": "swift-1",
            "route": "north/swift-1",
        },
    ),
    "Refund": (
        f"refund:{RES}:1",
        {
            "res": RES,
            "amount": "600000",
            "whole": False,
            "reason_code": "goodwill",
            "note": "slow answer",
        },
    ),
    "Clawback": (
        "refund:re_1",
        {
            "payment": "pi_1",
            "grant_no": 1,
            "cause": "refund:re_1",
            "returned": 500,
            "paid": 1000,
            "amount": None,
        },
    ),
    "ReverseClawback": ("reverse:dispute:dp_1", {"cause": "dispute:dp_1"}),
    "ConfigureRecharge": (
        "recharge-1",
        {
            "enabled": True,
            "threshold": "2000000000",
            "basis": "total",
            "amount": "10000000000",
            "pack": "usd-10",
            "cap_charge": "50000000000",
            "cap_day": "100000000000",
            "cap_month": "500000000000",
            "consent": {"text_hash": TEXT_HASH, "at": AT},
        },
    ),
    "StartRecharge": (
        ATTEMPT,
        {
            "attempt_id": ATTEMPT,
            "credits": "10000000000",
            "price": PAID,
            "trigger": "1-0-9",
        },
    ),
    "RecordRechargeFailure": (
        f"failed:{ATTEMPT}",
        {
            "attempt_id": ATTEMPT,
            "class": "soft",
            "code": "insufficient_funds",
            "payment": "pi_2",
        },
    ),
    "ResumeRecharge": ("resume-1", {"reason": "card_changed"}),
    "PublishCatalogue": (
        f"catalogue:{CATALOGUE}:0",
        {"hash": CATALOGUE, "effective_from": LATER, "withdraws": [OLD_CATALOGUE]},
    ),
    "ExpireReservation": (f"expire:{RES}", {"res": RES}),
    "ExpireGrant": (f"expire_grant:{ACCOUNT}:1", {"grant_no": 1}),
    "StartIncarnation": ("incarnation:2", {"incarnation": 2}),
}
DATED = {"IssueKey", "Reserve", "Extend", "Attach", "StartRecharge"}
OF_THE_PARTITION = {
    "PublishCatalogue",
    "StartIncarnation",
    "CataloguePublished",
    "IncarnationStarted",
}


def command(kind: str) -> dict[str, Any]:
    """The wire form of a command with no field left empty that may be filled."""
    caller_id, data = COMMANDS[kind]
    return {
        "kind": kind,
        "kind_version": 1,
        "caller_id": caller_id,
        "account_id": "part_0" if kind in OF_THE_PARTITION else ACCOUNT,
        "deadline": LATER if kind in DATED else None,
        "correlation_id": RES,
        "causation": "1-0-7",
        "traceparent": TRACE,
        "data": data,
    }


AFTER = {"available": "9988551640", "reserved": "11448360"}

EVENTS: dict[str, dict[str, Any]] = {
    "AccountOpened": {
        "unit": "USD",
        "plan": "payg",
        "external_id_hash": EXTERNAL_HASH,
        "catalogue": CATALOGUE,
    },
    "PlanChanged": {"plan": "studio", "catalogue": CATALOGUE},
    "AccountClosed": {"reason_code": "requested", "note_id": NOTE},
    "AccountFrozen": {"reason": "dispute:dp_1", "note_id": NOTE},
    "AccountUnfrozen": {"reason": "dispute:dp_1", "still": ["manual", "warning:w_1"]},
    "KeyIssued": {
        "key_id": KEY,
        "lineage": OLD_KEY,
        "secret_hash": SECRET_HASH,
        "purpose": "inference",
        "prefix": "fb_2_AbCd",
        "allowed": ["swift-1", "score-image"],
        "cap_total": "100000000000",
        "cap_day": "5000000000",
        "cap_month": "50000000000",
        "expires_at": NEXT_YEAR,
        "rotates": OLD_KEY,
        "old_expires_at": LATER,
        "note_id": NOTE,
    },
    "KeyRevoked": {"key_id": KEY, "reason_code": "leaked"},
    "SpendLimitsSet": {"day": "5000000000", "month": "50000000000", "alerts": [50, 80, 100]},
    "CreditsGranted": {
        "grant_id": GRANT,
        "grant_no": 1,
        "source": "purchase",
        "amount": "10000000000",
        "priority": 100,
        "expires_at": NEXT_YEAR,
        "paid": PAID,
        "payment": "pi_1",
        "pack": "usd-10",
        "attempt_id": ATTEMPT,
        "catalogue": CATALOGUE,
        "reason_code": "pack",
        "note_id": NOTE,
        "available": "10000000000",
        "reserved": "0",
    },
    "CreditsReserved": {
        "res": RES,
        "key_id": KEY,
        "operation": "swift-1",
        "surface": "openai.chat",
        "amount": "11448360",
        "from": [[1, "1448360"], [2, "10000000"]],
        "expires_at": LATER,
        "at_deadline": "release",
        "catalogue": CATALOGUE,
        "fee": FEE,
        "attached_cost_ceiling": "50000000",
        "windows": WINDOWS,
        "tags": TAGS,
        **AFTER,
    },
    "ReservationExtended": {
        "res": RES,
        "total": "22896720",
        "added": "11448360",
        "from": [[2, "11448360"]],
        "expires_at": LATER,
        "used_so_far": "11000000",
        **AFTER,
    },
    "CreditsCharged": {
        "res": RES,
        "reserved_was": "1000000",
        "charge": "1100000",
        "margin": "-100000",
        "cost_pico": "1210000000",
        "basis": "actual",
        "taken": [[1, "1000000"]],
        "returned": [],
        "extra": "100000",
        "loss": "10000",
        "loss_kind": "overrun",
        "fee": FEE,
        "usage": USAGE,
        "model": "swift-1",
        "route": "south/swift-1-b",
        "route_reason": "fallback",
        "attempts": TRIES,
        "finish": "stop",
        "status": 200,
        **AFTER,
    },
    "CreditsReleased": {
        "res": RES,
        "amount": "11448360",
        "returned": [[1, "1448360"], [2, "10000000"]],
        "reason_code": "provider_failed",
        "fee_reversed": FEE,
        "route": "north/swift-1",
        "attempts": TRIES[:1],
        "status": 502,
        **AFTER,
    },
    "ReservationExpired": {
        "res": RES,
        "amount": "22896720",
        "at_deadline": "charge",
        "charge": "11000000",
        "margin": "1000000",
        "taken": [[1, "1448360"], [2, "9551640"]],
        "returned": [[2, "11896720"]],
        "loss": "0",
        "fee_reversed": FEE,
        **AFTER,
    },
    "CallAttached": {"res": RES, "call_id": "call-1", "cost_bound": "1000000", "until": LATER},
    "CallDetached": {
        "res": RES,
        "call_id": "call-1",
        "cost": "900000",
        "cost_pico": "900000000",
        "usage": USAGE,
        "model": "swift-1",
        "route": "north/swift-1",
    },
    "CreditsRefunded": {
        "res": RES,
        "refund_no": 1,
        "amount": "600000",
        "margin": "54545",
        "whole": False,
        "to": [[3, "600000"]],
        "child": {"grant_id": CHILD, "grant_no": 3, "parent_no": 1, "expires_at": LATER},
        "fee_reversed": FEE,
        "reason_code": "goodwill",
        "note_id": NOTE,
        **AFTER,
    },
    "CreditsExpired": {"grant_no": 1, "amount": "8900000", "cause": "shelf", **AFTER},
    "CreditsClawedBack": {
        "cause": "dispute:dp_1",
        "payment": "pi_1",
        "grant_no": 1,
        "target": "10000000000",
        "amount": "9000000000",
        "due": "11448360",
        "shortfall": "988551640",
        **AFTER,
    },
    "ClawbackReversed": {
        "cause": "dispute:dp_1",
        "payment": "pi_1",
        "grant_no": 1,
        "amount": "9000000000",
        "due_cancelled": "11448360",
        "shortfall_cancelled": "988551640",
        **AFTER,
    },
    "RechargeConfigured": {
        "enabled": True,
        "threshold": "2000000000",
        "basis": "total",
        "amount": "10000000000",
        "pack": "usd-10",
        "caps": {"charge": "50000000000", "day": "100000000000", "month": "500000000000"},
        "consent": {"text_hash": TEXT_HASH, "at": AT},
    },
    "BalanceFellBelowThreshold": {"threshold": "2000000000", "basis": "total"},
    "RechargeStarted": {
        "attempt_id": ATTEMPT,
        "credits": "10000000000",
        "price": PAID,
        "trigger": "1-0-9",
        "windows": WINDOWS,
    },
    "RechargeFailed": {
        "attempt_id": ATTEMPT,
        "class": "soft",
        "code": "insufficient_funds",
        "failures_in_row": 1,
        "next_at": LATER,
        "suspended": False,
    },
    "RechargeResumed": {"reason": "card_changed"},
    "CataloguePublished": {
        "hash": CATALOGUE,
        "effective_from": LATER,
        "withdraws": [OLD_CATALOGUE],
    },
    "IncarnationStarted": {"incarnation": 2, "first_position": 10, "reason_code": "restored"},
}


def event(type_name: str) -> dict[str, Any]:
    """The body of an event with no field left empty that may be filled."""
    return {
        "type": type_name,
        "type_version": 1,
        "incarnation": 1,
        "partition": 2,
        "position": 12345,
        "account_id": "part_2" if type_name in OF_THE_PARTITION else ACCOUNT,
        "version": 7,
        "occurred_at": AT,
        "command_id": RES,
        "correlation_id": RES,
        "causation": "1-2-12300",
        "traceparent": TRACE,
        "prev": "8d0a" * 16,
        "data": EVENTS[type_name],
    }


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


def reply(name: str) -> dict[str, Any]:
    """The wire form of a reply."""
    return {
        "reply": name,
        "account_id": ACCOUNT,
        "incarnation": 1,
        "position": 12345,
        "event_count": 1,
        "data": REPLIES[name],
    }
