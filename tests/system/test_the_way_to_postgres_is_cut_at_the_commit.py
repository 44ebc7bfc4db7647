"""The one moment at which nobody knows whether a batch was written (RSV-3).

The ledger ends, and the next one reads what became of it: the repeated command gets the reply it
would have had, once, whichever side of the commit the connection broke on.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.events.ids import new_id, parse_id
from libs.runtime.command_client import CommandClient
from libs.runtime.database import connect
from libs.runtime.settings import Settings
from services.ledger.verify import verify
from tests.support.cutting import Cut, CuttingProxy, cutting_proxy
from tests.support.database import Database
from tests.support.deciding import grant, issue_key, open_account, reserve
from tests.support.process import Process
from tests.support.projecting import connection_of
from tests.support.publishing import selling
from tests.support.services import example_config, ledger_client
from tests.support.settings import settings_for
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("RSV-3")

PATIENT_S = 30.0


class Place:
    """A ledger whose way to Postgres can be cut, a reader beside it, and one rich account."""

    def __init__(
        self, database: Database, ledger: Process, proxy: CuttingProxy, use: CommandClient
    ) -> None:
        self.database = database
        self.ledger = ledger
        self.proxy = proxy
        self.use = use
        self.account, self.key = new_id("acct"), new_id("key")

    def hold(self, amount: int) -> Any:
        deadline = self.use.ledger_now() + timedelta(minutes=5)
        return reserve(self.account, self.key, amount, deadline)

    async def events(self) -> list[tuple[int, int]]:
        """Position and version of every event of the account."""
        async with connection_of(self.database, "auditor") as connection:
            rows = await connection.fetch(
                "select position, version from ledger.events where account_id = $1 order by 2",
                parse_id(self.account, "acct"),
            )
        return [tuple(row) for row in rows]

    async def send_and_cut(self, command: Any, cut: Cut) -> tuple[Any, list[tuple[int, int]]]:
        """Send it to a ledger that ends of it; the events then, and the next one's reply."""
        self.proxy.cut_once(f'"command_id":"{command.caller_id}"'.encode(), cut)
        sending = asyncio.create_task(self.use.send(command, give_up_s=PATIENT_S))

        async def ended() -> bool:
            return not self.ledger.alive

        await until(ended, PATIENT_S)
        assert self.ledger.exit_code != 0
        assert not sending.done(), "nothing was answered that is not known to be written"
        between = await self.events()
        await asyncio.to_thread(self.ledger.start)
        return await sending, between


@pytest.fixture
async def place(database: Database, streams: Any, tmp_path: Path) -> AsyncIterator[Place]:
    config = example_config(tmp_path)
    reader = Process("reader", database, tmp_path, config=config)
    async with cutting_proxy(database.dsn("ledger")) as proxy:
        env = {"FAREBOX_DATABASE_URL": proxy.dsn}
        ledger = Process("ledger", database, tmp_path, config=config, env=env)
        try:
            await asyncio.to_thread(ledger.start)
            await asyncio.to_thread(reader.start)
            async with (
                ledger_client(database, "admin", "admin") as admin,
                ledger_client(database, "gateway", "use") as use,
            ):
                await admin.check_installation()
                await use.check_installation()
                made = Place(database, ledger, proxy, use)
                deadline = admin.ledger_now() + timedelta(seconds=60)
                for command in (
                    selling(made.account),
                    open_account(made.account),
                    issue_key(made.account, made.key, deadline),
                    grant(made.account, 1000),
                ):
                    await admin.send(command, give_up_s=PATIENT_S)
                yield made
        finally:
            for process in (ledger, reader):
                await asyncio.to_thread(process.stop)
    await assert_books_are_right(database)


async def assert_books_are_right(database: Database) -> None:
    connection = await connect(settings_for(Settings, "audit", database))
    try:
        report = await verify(connection, lambda _line: None)
    finally:
        await connection.close()
    assert [str(difference) for difference in report.differences] == []


async def test_commit_succeeds_but_connection_is_cut(place):
    before = await place.events()
    command = place.hold(600)
    reply, between = await place.send_and_cut(command, Cut.AFTER_THE_COMMIT)
    assert len(between) == len(before) + 1, "it was written before anybody asked again"
    assert await place.events() == between, "and by the repeat not a second time"
    assert (reply.reply, reply.position, reply.event_count) == ("Reserved", between[-1][0], 1)
    assert (reply.data["available"], reply.data["reserved"]) == ("400", "600")
    assert await place.use.send(command, give_up_s=PATIENT_S) == reply
    next_hold = await place.use.send(place.hold(400), give_up_s=PATIENT_S)
    assert (next_hold.reply, next_hold.data["available"]) == ("Reserved", "0")


async def test_cut_before_the_commit_the_repeat_is_decided_once(place):
    before = await place.events()
    command = place.hold(600)
    reply, between = await place.send_and_cut(command, Cut.BEFORE_THE_COMMIT)
    assert between == before, "nothing was written"
    assert await place.events() == [*before, (reply.position, len(before) + 1)]
    assert (reply.reply, reply.data["reserved"]) == ("Reserved", "600")
    assert await place.use.send(command, give_up_s=PATIENT_S) == reply
