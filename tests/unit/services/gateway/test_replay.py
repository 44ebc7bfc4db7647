"""Each record is sent with its own id until it is answered for good."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.events.codec import decode_command, encode_command
from libs.events.ids import new_id
from libs.events.replies import Reply
from libs.runtime.clock import ManualClock
from libs.runtime.errors import LedgerUnavailable, PermissionDenied
from services.gateway.journal import Journal
from services.gateway.journal_file import DAMAGED
from services.gateway.replay import Replay
from tests.support.deciding import release, reserve, settle

pytestmark = pytest.mark.requirement("RSV-6")

ACCOUNT = new_id("acct")
NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Ledger:
    """Answers by the reservation; what it has no answer for it does not answer."""

    def __init__(self, answers: dict[str, str | Exception]) -> None:
        self.answers = answers
        self.asked: list[bytes] = []
        self.now = NOW
        self.code = "unknown_reservation"

    def ledger_now(self) -> datetime:
        return self.now

    async def send(self, command, *, give_up_s: float) -> Reply:
        self.asked.append(encode_command(command))
        answer = self.answers.get(command.caller_id, LedgerUnavailable("no answer"))
        if isinstance(answer, Exception):
            raise answer
        data = {"code": self.code} if answer == "Declined" else {}
        return Reply(
            reply=answer, account_id=ACCOUNT, incarnation=1, position=None, event_count=0, data=data
        )


@pytest.fixture
async def journal(tmp_path: Path):
    journal = Journal(tmp_path, ManualClock(datetime(2026, 11, 20, tzinfo=UTC)))
    await journal.open()
    yield journal
    await journal.close()


async def test_a_record_is_sent_as_it_was_kept_until_answered(journal: Journal):
    res = new_id("req")
    record = encode_command(settle(ACCOUNT, res, 5))
    await journal.append(record)
    ledger = Ledger({})
    replay = Replay(journal, ledger)
    await replay.round()
    await replay.round()
    ledger.answers[res] = "Settled"
    await replay.round()
    await replay.round()
    assert ledger.asked == [record] * 3
    assert journal.entries() == []


@pytest.mark.parametrize(
    "reply", ["Settled", "Declined", "Conflict", "Malformed", "RejectedByStore"]
)
async def test_every_final_reply_ends_it(journal: Journal, reply: str):
    res = new_id("req")
    await journal.append(encode_command(settle(ACCOUNT, res, 5)))
    await Replay(journal, Ledger({res: reply})).round()
    assert journal.entries() == []


async def test_a_refusal_for_good_is_told(journal: Journal, caplog: pytest.LogCaptureFixture):
    charged, given_back = new_id("req"), new_id("req")
    await journal.append(encode_command(settle(ACCOUNT, charged, 5)))
    await journal.append(encode_command(release(ACCOUNT, given_back)))
    await Replay(journal, Ledger({charged: "Declined", given_back: "Declined"})).round()
    # To release what was never reserved is no error.
    assert charged in caplog.text
    assert given_back not in caplog.text


async def test_one_that_must_wait_does_not_hold_up_the_others(journal: Journal):
    ids = [new_id("req") for _ in range(40)]
    for res in ids:
        await journal.append(encode_command(settle(ACCOUNT, res, 5)))
    ledger = Ledger(dict.fromkeys(ids[32:], "Settled"))
    replay = Replay(journal, ledger)
    await replay.round()
    assert len(ledger.asked) == 32  # a whole group unanswered: the rest is not tried in vain
    await replay.round()
    assert sorted(entry.record for entry in journal.entries()) == sorted(
        encode_command(settle(ACCOUNT, res, 5)) for res in ids[:32]
    )


async def test_a_missing_right_is_not_an_answer(journal: Journal):
    res = new_id("req")
    await journal.append(encode_command(settle(ACCOUNT, res, 5)))
    await Replay(journal, Ledger({res: PermissionDenied("publish", "x")})).round()
    assert len(journal.entries()) == 1


def damaged(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir() if path.suffix == DAMAGED]


async def test_a_record_nobody_can_read_is_kept_aside(journal: Journal, tmp_path: Path):
    res = new_id("req")
    await journal.append(b'{"kind":"Unheard"}')
    await journal.append(encode_command(settle(ACCOUNT, res, 5)))
    ledger = Ledger({res: "Settled"})
    await Replay(journal, ledger).round()
    await journal.close()
    following = Journal(tmp_path, ManualClock(datetime(2026, 11, 20, tzinfo=UTC)))
    await following.open()
    await Replay(following, ledger).round()
    [kept] = damaged(tmp_path)
    assert b"Unheard" in kept
    await following.close()


class TestReservesThatWereGivenUp:
    """Others may open the same reservation: only what this very Reserve has opened is given back."""

    res = new_id("req")
    record = encode_command(
        reserve(ACCOUNT, new_id("key"), 5, NOW + timedelta(seconds=5), res=res, once="a" * 32)
    )

    async def replayed(self, journal: Journal, ledger: Ledger) -> list[str]:
        await Replay(journal, ledger).round()
        return [decode_command(raw).kind for raw in ledger.asked]

    async def test_what_it_holds_is_given_back(self, journal: Journal):
        await journal.append(self.record)
        ledger = Ledger({self.res: "Reserved"})
        assert await self.replayed(journal, ledger) == ["Reserve", "Release"]
        assert ledger.asked[0] == self.record
        assert journal.entries() == []

    @pytest.mark.requirement("RSV-3")
    async def test_what_another_holds_is_not(
        self, journal: Journal, caplog: pytest.LogCaptureFixture
    ):
        await journal.append(self.record)
        assert await self.replayed(journal, Ledger({self.res: "Conflict"})) == ["Reserve"]
        assert journal.entries() == []
        assert caplog.text == ""

    async def test_a_refusal_is_believed_when_no_copy_can_be_accepted_any_more(
        self, journal: Journal
    ):
        await journal.append(self.record)
        ledger = Ledger({self.res: "Declined"})
        assert await self.replayed(journal, ledger) == ["Reserve"]
        assert len(journal.entries()) == 1
        ledger.now += timedelta(seconds=6)
        assert await self.replayed(journal, ledger) == ["Reserve"] * 2
        assert journal.entries() == []
