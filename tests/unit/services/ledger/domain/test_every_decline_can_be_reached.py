"""Each code of the closed list has a story that ends in it, with the numbers to act on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.events import commands as c
from libs.events.declines import DECLINES
from libs.events.ids import new_id
from libs.events.money import NANOS
from services.ledger.domain.state import Accepted, Declined
from tests.support.deciding import (
    Rules,
    attach,
    clawback,
    command,
    correct,
    expire,
    grant,
    issue_key,
    open_account,
    refund,
    reserve,
    reverse,
    settle,
)

ACCOUNT, KEY = new_id("acct"), new_id("key")
ATTEMPT = new_id("rchg")
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOMORROW, NEXT_MONTH = "2026-11-21T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z"

NOT_YET = {"unknown_catalogue"}
"""A catalogue is refused by the batch, which knows what its partition published."""

FEW = 30
"""What the account has when a story begins, available."""


def opened(unit: str = "USD") -> Rules:
    rules = Rules(at=START)
    rules.run(open_account(ACCOUNT, unit=unit))
    rules.run(issue_key(ACCOUNT, KEY, rules.at))
    rules.run(grant(ACCOUNT, FEW * NANOS, source="purchase", payment="pi_1"))
    return rules


def after(rules: Rules, *told: c.Command) -> Rules:
    for each in told:
        assert isinstance(rules.run(each), Accepted), each
    return rules


def hold(amount: int, key: str = KEY, res: str | None = None) -> c.Command:
    return reserve(ACCOUNT, key, amount * NANOS, START, res=res)


def tell(kind: type[c.Command], data: dict[str, Any], **envelope: Any) -> c.Command:
    return command(kind, ACCOUNT, data, **envelope)


def close(*, write_off: bool = True) -> c.Command:
    return tell(c.CloseAccount, {"write_off": write_off, "reason_code": "left"})


def limits(**given: int) -> c.Command:
    spend = {name: given[name] * NANOS if name in given else None for name in ("day", "month")}
    return tell(c.SetSpendLimits, spend | {"alerts": [80]})


def configure(**given: Any) -> c.Command:
    data = {"enabled": True, "threshold": 40 * NANOS, "basis": "total", "amount": 10 * NANOS}
    return tell(c.ConfigureRecharge, data | given)


def start(attempt: str = ATTEMPT, minor: int = 1000, currency: str = "USD") -> c.Command:
    price = {"currency": currency, "minor": minor}
    data = {"attempt_id": attempt, "credits": 10 * NANOS, "price": price, "trigger": "1-0-1"}
    return tell(c.StartRecharge, data, caller_id=attempt, deadline=START)


def fail(attempt: str = ATTEMPT, kind: str = "soft") -> c.Command:
    data = {"attempt_id": attempt, "class": kind, "code": "card_declined"}
    return tell(c.RecordRechargeFailure, data, caller_id=f"failed:{attempt}")


def extend(res: str) -> c.Command:
    data = {"res": res, "total": NANOS, "hold_ms": 1, "used_so_far": 0}
    return tell(c.Extend, data, caller_id=f"extend:{res}:1", deadline=START + timedelta(days=1))


def expiring_hold() -> Any:
    res = new_id("req")
    rules = after(opened(), hold(1, res=res)).after(minutes=1)
    return after(rules, expire(ACCOUNT, res)).run(extend(res))


def capped(**caps: int) -> Any:
    key = new_id("key")
    given = {name: cap * NANOS for name, cap in caps.items()}
    rules = after(opened(), issue_key(ACCOUNT, key, START, **given), hold(6, key))
    return rules.run(hold(5, key))


def charged() -> Any:
    res = new_id("req")
    rules = after(opened(), hold(5, res=res), settle(ACCOUNT, res, 5 * NANOS))
    return rules.run(refund(ACCOUNT, res, 6 * NANOS))


def key_of(**data: Any) -> Any:
    key = new_id("key")
    rules = after(opened(), issue_key(ACCOUNT, key, START, **data))
    return rules.after(seconds=60).run(reserve(ACCOUNT, key, 1, rules.at))


def revoked() -> Any:
    data = {"key_id": KEY, "reason_code": "lost"}
    gone = tell(c.RevokeKey, data, caller_id=f"revoke:{KEY}")
    return after(opened(), gone).run(hold(1))


def a_hundred_keys() -> Any:
    rules = after(opened(), *(issue_key(ACCOUNT, new_id("key"), START) for _ in range(99)))
    return rules.run(issue_key(ACCOUNT, new_id("key"), START))


def two_hundred_grants() -> Any:
    rules = after(opened(), *(grant(ACCOUNT, 1) for _ in range(199)))
    return rules.run(grant(ACCOUNT, 1))


def wanting(*told: c.Command, **policy: Any) -> Rules:
    return after(opened(), configure(**policy), *told)


def working(*calls: int, ceiling: int = 10) -> tuple[Rules, str]:
    """A hold of a minute under which calls with these bounds run."""
    key, res = new_id("key"), new_id("req")
    rules = after(opened(), issue_key(ACCOUNT, key, START, purpose="service"))
    amount, most = NANOS, ceiling * NANOS
    after(rules, reserve(ACCOUNT, key, amount, START, res=res, attached_cost_ceiling=most))
    told = [attach(ACCOUNT, res, f"call-{n}", c * NANOS, START) for n, c in enumerate(calls)]
    return after(rules, *told), res


def calling(*calls: int, bound: int = 1, hold_ms: int = 1000) -> Any:
    rules, res = working(*calls)
    return rules.run(attach(ACCOUNT, res, "last", bound * NANOS, START, hold_ms=hold_ms))


def settling_early() -> Any:
    rules, res = working(1)
    return rules.run(settle(ACCOUNT, res, NANOS))


A_MINUTE_ON = "2026-11-20T12:01:00.000000Z"
BALANCE = {"available": 30, "reserved": 0, "total": 30}
HELD = {"available": 24, "reserved": 6, "total": 30}

STORIES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "unknown_account": (lambda: Rules().run(hold(1)), {}),
    "account_frozen": (
        lambda: after(opened(), tell(c.FreezeAccount, {"reason": "manual"})).run(hold(1)),
        {},
    ),
    "account_closed": (lambda: after(opened(), close()).run(hold(1)), {}),
    "account_not_empty": (lambda: opened().run(close(write_off=False)), BALANCE),
    "unit_mismatch": (lambda: wanting().run(start(currency="EUR")), {"parameter": "price"}),
    "not_integral": (
        lambda: opened("CREDIT").run(reserve(ACCOUNT, KEY, 1, START)),
        {"parameter": "amount"},
    ),
    "unknown_key": (lambda: opened().run(hold(1, new_id("key"))), {}),
    "key_revoked": (revoked, {}),
    "key_expired": (
        lambda: key_of(expires_at=START + timedelta(seconds=60)),
        {"until": "2026-11-20T12:01:00.000000Z"},
    ),
    "key_not_allowed": (lambda: key_of(purpose="account"), {"parameter": "purpose"}),
    "too_many_keys": (a_hundred_keys, {}),
    "insufficient_balance": (
        lambda: opened().run(hold(31)),
        {"required": 31, "limit_source": "balance", **BALANCE},
    ),
    "key_cap_total": (
        lambda: capped(cap_total=10),
        {"required": 5, "limit_source": "key_cap", "until": None, **HELD},
    ),
    "key_cap_day": (lambda: capped(cap_day=10), {"until": TOMORROW, "limit_source": "key_cap"}),
    "key_cap_month": (lambda: capped(cap_month=10), {"until": NEXT_MONTH}),
    "account_cap_day": (
        lambda: after(opened(), limits(day=10), hold(6)).run(hold(5)),
        {"until": TOMORROW, "limit_source": "account_cap", **HELD},
    ),
    "account_cap_month": (
        lambda: after(opened(), limits(month=10), hold(6)).run(hold(5)),
        {"until": NEXT_MONTH, "limit_source": "account_cap"},
    ),
    "deadline_passed": (lambda: opened().after(microseconds=1).run(hold(1)), {}),
    "too_many_grants": (two_hundred_grants, {}),
    "grant_expired": (
        lambda: opened().run(grant(ACCOUNT, 1, expires_at=START)),
        {"parameter": "expires_at", "until": "2026-11-20T12:00:00.000000Z"},
    ),
    "unknown_grant": (lambda: opened().run(correct(ACCOUNT, 1, grant_no=2)), {}),
    "unknown_reservation": (lambda: opened().run(settle(ACCOUNT, new_id("req"), 1)), {}),
    "reservation_expired": (expiring_hold, {}),
    "hold_too_short": (lambda: calling(hold_ms=60_001), {"until": A_MINUTE_ON}),
    "attached_ceiling": (
        lambda: calling(3, 4, bound=4),
        {"required": 4, "available": 3, "total": 10},
    ),
    "too_many_calls": (lambda: calling(*[0] * 50), {}),
    "calls_open": (settling_early, {"until": "2026-11-20T12:00:30.000000Z"}),
    "refund_exceeds_charge": (charged, {"required": 6, "total": 5}),
    "unknown_payment": (lambda: opened().run(clawback(ACCOUNT, "pi_2", 1, 1, "dispute:dp_1")), {}),
    "unknown_cause": (lambda: opened().run(reverse(ACCOUNT, "dispute:dp_1")), {}),
    "recharge_disabled": (lambda: opened().run(start()), {}),
    "recharge_not_needed": (
        lambda: wanting(threshold=NANOS).run(start()),
        {"available": 30, "total": 30},
    ),
    "recharge_open": (lambda: wanting(start()).run(start(new_id("rchg"))), {}),
    "recharge_cap_charge": (
        lambda: wanting(cap_charge=9 * NANOS).run(start()),
        {"required": 10, "total": 9},
    ),
    "recharge_cap_day": (
        lambda: wanting(cap_day=9 * NANOS).run(start()),
        {"required": 10, "total": 9},
    ),
    "recharge_cap_month": (
        lambda: wanting(cap_month=9 * NANOS).run(start()),
        {"required": 10, "total": 9},
    ),
    "recharge_too_early": (
        lambda: wanting(start(), fail()).run(start(new_id("rchg"))),
        {"until": "2026-11-20T13:00:00.000000Z"},
    ),
    "recharge_suspended": (
        lambda: wanting(start(), fail(kind="hard")).run(start(new_id("rchg"))),
        {},
    ),
    "unknown_attempt": (lambda: wanting().run(fail()), {}),
    "already_closed": (lambda: wanting(start(), fail()).run(fail()), {}),
}
"""Per code how it is reached, and what the answer must carry (amounts in whole units)."""


@pytest.mark.requirement("RSV-3")
@pytest.mark.parametrize("code", STORIES)
def test_a_story_ends_in_each_code_with_the_numbers_to_act_on(code):
    reach, numbers = STORIES[code]
    declined = reach()
    assert isinstance(declined, Declined)
    assert declined.code == code
    for name, value in numbers.items():
        expected = value * NANOS if isinstance(value, int) else value
        assert getattr(declined, name) == expected, name


def test_every_code_of_the_closed_list_has_its_story():
    assert set(STORIES) | NOT_YET == set(DECLINES)
    assert not set(STORIES) & NOT_YET
