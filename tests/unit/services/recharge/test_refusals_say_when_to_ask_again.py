"""What each answer to StartRecharge means: pure."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.events.declines import DECLINES
from libs.events.money import NANOS
from services.recharge.refusals import Advice, advise

NOW = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)
STARTABLE = {code for code in DECLINES if code.startswith("recharge_")} | {
    "account_frozen",
    "account_closed",
    "unknown_account",
    "deadline_passed",
    "not_integral",
}


@pytest.mark.requirement("RCH-4")
@pytest.mark.parametrize("code", sorted(STARTABLE - {"not_integral"}))
def test_no_decline_that_the_ledger_can_give_is_a_mistake(code):
    assert not advise(code, {}, 0, NOW).mistake


@pytest.mark.parametrize("code", ["not_integral", "malformed", "conflict_fingerprint", "new_code"])
def test_what_only_a_person_can_mend_waits_an_hour(code):
    advice = advise(code, {}, 0, NOW)
    assert advice == Advice(not_before=NOW + timedelta(hours=1), mistake=True)


@pytest.mark.parametrize(
    ("now", "code", "end"),
    [
        (NOW, "recharge_cap_day", datetime(2027, 1, 1, tzinfo=UTC)),
        (NOW, "recharge_cap_month", datetime(2027, 1, 1, tzinfo=UTC)),
        (NOW.replace(month=1, day=31), "recharge_cap_month", datetime(2026, 2, 1, tzinfo=UTC)),
        (NOW.replace(day=1), "recharge_cap_day", datetime(2026, 12, 2, tzinfo=UTC)),
    ],
)
def test_a_cap_over_time_ends_with_its_utc_window(now, code, end):
    data = {"required": str(25 * NANOS), "total": str(20 * NANOS)}
    advice = advise(code, data, 10 * NANOS, now)
    assert (advice.room, advice.room_until) == (5 * NANOS, end)


@pytest.mark.parametrize(
    "data", [{}, {"required": None, "total": "5"}, {"required": "100", "total": "5"}]
)
def test_a_cap_that_tells_nothing_leaves_no_room(data):
    assert advise("recharge_cap_day", data, 10, NOW).room == 0


def test_the_moment_named_by_the_ledger_is_waited_for():
    advice = advise("recharge_too_early", {"until": "2027-01-01T06:00:00.000000Z"}, 0, NOW)
    assert advice.not_before == datetime(2027, 1, 1, 6, tzinfo=UTC)
    assert advise("deadline_passed", {}, 0, NOW).soon
