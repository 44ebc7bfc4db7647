"""More commands than the writer can take: callers are told Busy at once, and nothing is lost."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import asyncpg
import pytest

from libs.events import subjects
from libs.events.codec import decode_reply, encode_command
from libs.events.ids import new_id, partition_of
from services.ledger import app, reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from tests.support.database import PARTITIONS
from tests.support.deciding import grant, issue_key, open_account, reserve, settle
from tests.support.nats import connected
from tests.support.publishing import selling
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("RSV-3")

TAKES_ABOVE, ALL_ABOVE = 20, 40
HOLDS = 60
PATIENT_S = 20.0


@pytest.fixture(scope="module")
async def ledger(database, streams, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    common = {"data_dir": folder, "config": example_config(folder)}
    writing = settings_for(
        LedgerSettings, "ledger", database, process_name="ledger", busy_above=TAKES_ABOVE,
        busy_all_above=ALL_ABOVE, **common,
    )  # fmt: skip
    reading = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
    async with (
        running(app.serve, writing),
        running(reader.serve, reading),
        ledger_client(database, "admin", "admin") as admin,
        ledger_client(database, "gateway", "use") as use,
    ):
        await admin.check_installation()
        await use.check_installation()
        yield SimpleNamespace(admin=admin, use=use, database=database)


class Account:
    """An account with a hold for each settlement that the test will send."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.id, self.key = new_id("acct"), new_id("key")
        self.holds = [new_id("req") for _ in range(HOLDS)]
        self.subject = subjects.command(partition_of(self.id, PARTITIONS), "use")

    async def open(self):
        deadline = self.ledger.admin.ledger_now() + timedelta(seconds=60)
        for command in (
            selling(self.id), open_account(self.id), issue_key(self.id, self.key, deadline), grant(self.id, 10_000)
        ):  # fmt: skip
            await self.ledger.admin.send(command, give_up_s=PATIENT_S)
        for res in self.holds:
            assert (await self.send(self.hold(res))).reply == "Reserved"
        return self

    def hold(self, res=None):
        deadline = self.ledger.use.ledger_now() + timedelta(minutes=5)
        return reserve(self.id, self.key, 10, deadline, res=res)

    async def send(self, command):
        return await self.ledger.use.send(command, give_up_s=PATIENT_S)


@asynccontextmanager
async def stuck(database):
    """The writer's appends wait for as long as the block runs."""
    connection = await asyncpg.connect(database.dsn("postgres"))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("lock table ledger.accounts in share mode")
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def waiting(database):
    """Whether an append of the ledger waits for the lock."""
    asked = "select count(*) from pg_locks where not granted and locktype = 'relation'"
    return int(database.sql(asked)) > 0


async def test_takers_are_told_busy_first_then_all_and_then_everything_is_done_once(ledger):
    account = await Account(ledger).open()
    async with connected(ledger.database.stack, "gateway") as nc:

        async def asked(command):
            """What one attempt is told."""
            raw = await nc.request(account.subject, encode_command(command), timeout=PATIENT_S)
            return decode_reply(raw.data)

        async with stuck(ledger.database):
            first = asyncio.create_task(account.send(account.hold()))
            await until(lambda: waiting(ledger.database))
            # Behind it: as many as takers may wait behind, and one more.
            settling = _settle(account, asked, account.holds[: TAKES_ABOVE + 1])
            await nc.flush()
            taker = account.hold()
            assert (await asked(taker)).reply == "Busy"
            settling += _settle(account, asked, account.holds[TAKES_ABOVE + 1 : ALL_ABOVE + 1])
            await nc.flush()
            late = settle(account.id, account.holds[-1], 4)
            told = await asked(late)
            assert (told.reply, told.data["retry_after_ms"] > 0) == ("Busy", True)
            callers = [asyncio.create_task(account.send(command)) for command in (taker, late)]
            assert not any(task.done() for task in (first, *settling))
        replies = await asyncio.gather(first, *callers)
        assert [reply.reply for reply in replies] == ["Reserved", "Reserved", "Settled"]
        assert {reply.reply for reply in await asyncio.gather(*settling)} == {"Settled"}
        assert (await asked(account.hold())).reply == "Reserved"
    await _all_is_done_once(ledger, account)


def _settle(account, asked, holds):
    return [asyncio.create_task(asked(settle(account.id, res, 4))) for res in holds]


async def _all_is_done_once(ledger, account):
    rows = ledger.database.sql(
        "select kind, count(*), count(distinct caller_id) from ledger.commands"
        f" where account_id = '{account.id[5:]}' group by kind order by count(*) desc limit 2"
    )
    counts = [tuple(map(int, row.split("|")[1:])) for row in rows.splitlines()]
    settled = ALL_ABOVE + 2
    assert counts == [(HOLDS + 3, HOLDS + 3), (settled, settled)]
    answer = await ledger.admin.query("balance", {"account_id": account.id}, account_id=account.id)
    held = 10 * (HOLDS + 3 - settled)
    assert int(answer["data"]["available"]) == 10_000 - 4 * settled - held
    assert int(answer["data"]["reserved"]) == held
