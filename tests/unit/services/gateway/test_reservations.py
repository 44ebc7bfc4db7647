"""What the ledger says becomes what the client is told, and nothing is forgotten."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.events.codec import decode_command
from libs.events.ids import new_id
from libs.events.replies import DECLINE_CODES, Reply
from libs.runtime.clock import ManualClock
from libs.runtime.errors import LedgerUnavailable, PermissionDenied
from services.gateway.errors import Refusal
from services.gateway.journal import Journal
from services.gateway.orders import Closed, Order, Served, Settlement
from services.gateway.reservations import Reservations, TakenError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SERVED = Served("swift-1", "north/swift-1", (), 200)
SETTLEMENT = Settlement(5, 1, "actual", 4000, None, "stop")


class Ledger:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.sent: list = []
        self.waits: list[float] = []

    def ledger_now(self) -> datetime:
        return NOW

    async def send(self, command, *, give_up_s: float) -> Reply:
        self.sent.append(command)
        self.waits.append(give_up_s)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        reply, data = answer
        return Reply(
            reply=reply, account_id=None, incarnation=1, position=None, event_count=0, data=data
        )


@pytest.fixture
async def journal(tmp_path: Path):
    journal = Journal(tmp_path, ManualClock(NOW))
    await journal.open()
    yield journal
    await journal.close()


def reservations(ledger: Ledger, journal: Journal) -> Reservations:
    return Reservations(ledger, journal, catalogue="c" * 64, hold_ms=60_000, top_up_url="u")


def order() -> Order:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    return Order(
        new_id("req"), new_id("acct"), new_id("key"), "USD", "swift-1", "s", "release", trace
    )


def kept(journal: Journal) -> list:
    return [decode_command(entry.record) for entry in journal.entries()]


async def refusal_of(ledger: Ledger, journal: Journal) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await reservations(ledger, journal).hold(order(), amount=9, at_least=5)
    return caught.value


def declined(code: str) -> tuple[str, dict]:
    amounts = dict.fromkeys(("required", "available", "reserved", "total"), "1")
    return "Declined", {"code": code, "limit_source": None, **amounts}


async def test_what_is_held_is_what_the_ledger_says(journal: Journal):
    ledger = Ledger(("Reserved", {"amount": "7", "available": "3"}))
    wanted = order()
    hold = await reservations(ledger, journal).hold(wanted, amount=9, at_least=5)
    assert (hold.amount, hold.most, hold.available) == (7, 7, 3)
    [reserve] = ledger.sent
    assert reserve.caller_id == reserve.correlation_id == wanted.res
    assert reserve.deadline == NOW + timedelta(seconds=5)
    assert (reserve.data.amount, reserve.data.at_least, reserve.data.hold_ms) == (9, 5, 60_000)
    assert (reserve.data.at_deadline, reserve.data.catalogue) == ("release", "c" * 64)
    assert reserve.traceparent == wanted.traceparent
    assert ledger.waits == [4.0]


@pytest.mark.parametrize("code", sorted(DECLINE_CODES))
async def test_every_decline_is_told_as_what_it_is(journal: Journal, code: str):
    found = (await refusal_of(Ledger(declined(code)), journal)).status
    expected = {
        "insufficient_balance": 402,
        "key_cap_total": 402,
        "key_cap_day": 402,
        "key_cap_month": 402,
        "account_cap_day": 402,
        "account_cap_month": 402,
        "unknown_account": 401,
        "unknown_key": 401,
        "key_revoked": 401,
        "key_expired": 401,
        "account_frozen": 403,
        "account_closed": 403,
        "key_not_allowed": 403,
        "deadline_passed": 503,
        "unknown_catalogue": 503,
    }
    assert found == expected.get(code, 500)
    assert journal.entries() == []


@pytest.mark.parametrize("reply", ["Conflict", "Malformed", "RejectedByStore"])
async def test_an_answer_that_holds_nothing_executes_nothing(journal: Journal, reply: str):
    assert (await refusal_of(Ledger((reply, {})), journal)).status == 500


@pytest.mark.requirement("RSV-8")
async def test_a_reserve_without_an_answer_is_undone_through_the_journal(journal: Journal):
    refusal = await refusal_of(Ledger(LedgerUnavailable("away")), journal)
    assert (refusal.status, refusal.code) == (503, "ledger_unavailable")
    [release] = kept(journal)
    assert release.kind == "Release"
    assert release.data.reserve_deadline == NOW + timedelta(seconds=5)


async def test_a_reserve_cut_off_by_the_end_is_undone_too(journal: Journal):
    with pytest.raises(asyncio.CancelledError):
        await reservations(Ledger(asyncio.CancelledError()), journal).hold(
            order(), amount=9, at_least=5
        )
    assert [command.kind for command in kept(journal)] == ["Release"]


async def test_a_reserve_that_was_never_sent_leaves_nothing(journal: Journal):
    refusal = await refusal_of(Ledger(PermissionDenied("publish", "x")), journal)
    assert refusal.status == 503
    assert journal.entries() == []


@pytest.mark.requirement("RSV-6")
@pytest.mark.parametrize("failure", [LedgerUnavailable("away"), PermissionDenied("publish", "x")])
async def test_an_unanswered_charge_is_kept_with_all_it_says(journal: Journal, failure: Exception):
    ledger = Ledger(failure)
    assert await reservations(ledger, journal).settle(order(), SETTLEMENT, SERVED) == Closed()
    assert kept(journal) == ledger.sent
    assert ledger.waits == [2.0]


async def test_a_charge_cut_off_by_the_end_is_kept(journal: Journal):
    ledger = Ledger(asyncio.CancelledError())
    assert await reservations(ledger, journal).settle(order(), SETTLEMENT, SERVED) == Closed()
    assert kept(journal) == ledger.sent


async def test_what_the_ledger_confirmed_is_told(journal: Journal):
    ledger = Ledger(
        ("Settled", {"charge": "5", "available": "95"}), ("Released", {"available": "100"})
    )
    mine = reservations(ledger, journal)
    assert await mine.settle(order(), SETTLEMENT, SERVED) == Closed(5, 95)
    assert await mine.release(order(), "x", SERVED) == Closed(0, 100)


async def test_a_charge_refused_for_good_is_not_told_as_one(
    journal: Journal, caplog: pytest.LogCaptureFixture
):
    ledger = Ledger(("Conflict", {"code": "released"}))
    assert await reservations(ledger, journal).settle(order(), SETTLEMENT, SERVED) == Closed()
    assert "Conflict released" in caplog.text
    assert journal.entries() == []


class TestOnce:
    """Of a reservation that others may open too."""

    def order(self) -> Order:
        return replace(order(), once="a" * 32)

    async def test_who_comes_second_holds_nothing(self, journal: Journal):
        ledger = Ledger(("Conflict", {"code": "fingerprint"}))
        with pytest.raises(TakenError):
            await reservations(ledger, journal).hold(self.order(), amount=9, at_least=5)
        assert ledger.sent[0].data.once == "a" * 32
        assert journal.entries() == []

    @pytest.mark.requirement("RSV-3", "RSV-8")
    async def test_what_was_not_answered_is_undone_by_the_same_reserve(self, journal: Journal):
        """A Release would give back what another has opened under this id meanwhile."""
        ledger = Ledger(LedgerUnavailable("away"))
        with pytest.raises(Refusal) as caught:
            await reservations(ledger, journal).hold(self.order(), amount=9, at_least=5)
        assert caught.value.status == 503
        assert kept(journal) == ledger.sent

    async def test_without_a_journal_what_it_holds_is_given_back_at_once(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ):
        async def full(record: bytes) -> None:
            raise OSError(record[:1])

        monkeypatch.setattr(journal, "append", full)
        held = ("Reserved", {"amount": "9", "available": "0"})
        ledger = Ledger(LedgerUnavailable("away"), held, ("Released", {"available": "9"}))
        with pytest.raises(Refusal):
            await reservations(ledger, journal).hold(self.order(), amount=9, at_least=5)
        assert [one.kind for one in ledger.sent] == ["Reserve", "Reserve", "Release"]
