"""A real consumer of the real stream: what fails, ages out or is deleted is never passed over."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from libs.events.ids import new_id, partition_of
from libs.runtime.streams import provision
from services.ledger import app, reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from tests.support.consuming import Effects, follow_everything, following
from tests.support.database import PARTITIONS
from tests.support.deciding import grant, open_account
from tests.support.nats import connected
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("RCH-2")


class Place:
    """A ledger with its reader, an account of partition 0, and what a consumer made of it."""

    def __init__(self, database: Any, admin: Any, effects: Effects) -> None:
        self.database = database
        self.admin = admin
        self.effects = effects
        self.account = new_id("acct")
        while partition_of(self.account, PARTITIONS) != 0:
            self.account = new_id("acct")

    async def grants(self, count: int) -> int:
        """Write so many events more; the position of the last."""
        position = 0
        for _ in range(count):
            reply = await self.admin.send(grant(self.account, 1), give_up_s=10)
            position = reply.position
        return position

    async def log(self) -> list[int]:
        connection = await asyncpg.connect(self.database.dsn("auditor"))
        try:
            rows = await connection.fetch(
                "select position from ledger.events where partition = 0 order by position"
            )
        finally:
            await connection.close()
        return [row["position"] for row in rows]

    async def relayed(self, position: int) -> None:
        async with connected(self.database.stack, "provision") as nc:
            js = nc.jetstream()

            async def there() -> bool:
                return (await js.stream_info("LEDGER_0")).state.last_seq >= position

            await until(there)

    async def applied(self) -> list[int]:
        return [effect.position for effect in await self.effects.all()]


@pytest.fixture(scope="module")
async def module_place(database: Any, streams: Any, tmp_path_factory: Any) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("ledger")
    common = {"data_dir": folder, "config": example_config(folder)}
    writing = settings_for(
        LedgerSettings, "ledger", database, process_name="ledger", relay_poll_s=0.1, **common
    )
    reading = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
    await follow_everything(streams)
    async with (
        running(app.serve, writing),
        running(reader.serve, reading),
        ledger_client(database, "admin", "admin") as admin,
    ):
        await admin.check_installation()
        place = Place(database, admin, Effects(database))
        await admin.send(open_account(place.account), give_up_s=10)
        yield place


@pytest.fixture
async def place(module_place: Place) -> Place:
    """The same ledger, whose log goes on; a consumer that has seen nothing of it yet."""
    module_place.database.sql("truncate followed.positions, followed.effects")
    return module_place


async def test_consumer_behind_max_age_reads_the_gap_from_postgres(place):
    end = await place.grants(8)
    await place.relayed(end)
    await shorten(place.database.stack, keep=2)
    async with following(place.effects, place.database) as pull:
        await place.effects.reach(1, end)
        assert pull.problem() is None
    assert await place.applied() == await place.log() == list(range(1, end + 1))


async def shorten(stack: Any, keep: int) -> None:
    """Let the stream drop all but its last messages, as their age does."""
    async with connected(stack, "provision") as nc:
        js = nc.jetstream()
        config = (await js.stream_info("LEDGER_0")).config
        await js.update_stream(config.evolve(max_msgs=keep))
        await js.update_stream(config)


async def test_failed_event_in_the_middle_is_applied_next(place):
    end = await place.grants(6)
    failing, tried = end - 3, []

    def fails_twice(write: Any) -> Any:
        async def apply(connection: Any, body: dict[str, Any]) -> None:
            await write(connection, body)
            tried.append(body["position"])
            if body["position"] == failing and tried.count(failing) < 3:
                raise RuntimeError("no luck")

        return apply

    async with following(place.effects, place.database, fails_twice) as pull:
        await place.effects.reach(1, end)
        assert pull.problem() is None
    assert tried.count(failing) == 3
    assert tried[tried.index(failing) :][:3] == [failing] * 3, "nothing is tried before it again"
    assert await place.applied() == list(range(1, end + 1))


async def test_a_stream_that_is_deleted_and_made_anew_is_filled_and_followed(place):
    end = await place.grants(3)
    async with following(place.effects, place.database) as pull:
        await place.effects.reach(1, end)
        async with connected(place.database.stack, "provision") as nc:
            await nc.jetstream().delete_stream("LEDGER_0")
            await provision(nc, PARTITIONS)
        await follow_everything(place.database.stack)
        await place.relayed(end)  # nothing is written meanwhile: the relay looks by itself
        end = await place.grants(3)
        await place.effects.reach(1, end)
        assert pull.problem() is None
    assert await place.applied() == await place.log()
