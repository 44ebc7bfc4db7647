"""An older database is put in the place of a newer one: nothing is published until an operator
says that it is right; then the stream is a copy again, and no consumer misses or repeats a thing.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.consuming import Effects, follow_everything, following
from tests.support.database import Database
from tests.support.deciding import grant
from tests.support.ledger_at import LedgerAt, customer, stream_is_the_log
from tests.support.nats import connected
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("OPS-2")


class Restored:
    """The newer database with what consumers did, the older one, and what each held."""

    def __init__(self, newer: LedgerAt, older: LedgerAt, effects: Effects) -> None:
        self.newer = newer
        self.older = older
        self.effects = effects
        self.shared = 0
        """Where both histories part: the end of the backup."""
        self.lost: list[bytes] = []
        self.repeated: Any = None
        self.first_reply: Any = None


@pytest.fixture
async def restored(database: Database, streams: Any, tmp_path: Path) -> AsyncIterator[Restored]:
    """A backup was taken, more happened and was followed by a consumer, then it was restored.

    The consumer's own database was not: it is ahead of the ledger's.
    """
    newer = LedgerAt(database, tmp_path)
    older = LedgerAt(Database(database.stack, f"{database.name}_older"), tmp_path)
    made = Restored(newer, older, Effects(database))
    await follow_everything(streams)
    async with newer.running() as admin:
        made.repeated = grant(await customer(admin, grants=3), 1)
        made.first_reply = await admin.send(made.repeated, give_up_s=10)
    made.shared = len(await newer.log())
    database.stack.create_database(older.database.name, template=database.name)
    async with newer.running() as admin:
        await customer(admin, grants=6)
        made.lost = [body for _, body in (await newer.log())[made.shared :]]
        async with following(made.effects, database):
            await made.effects.reach(1, made.shared + len(made.lost))
    yield made
    database.stack.drop_database(older.database.name)


@pytest.fixture
async def js(streams: Any) -> AsyncIterator[Any]:
    async with connected(streams, "provision") as nc:
        yield nc.jetstream()


async def test_rebuild_makes_the_stream_a_copy_and_consumers_go_back(restored, js, tmp_path):
    older, shared = restored.older, restored.shared
    async with older.running(ready=False) as admin:
        await older.says("stream_ahead")
        # The ledger itself goes on: at positions that the lost history had used already.
        between = await customer(admin, grants=2)
        end = shared + len(restored.lost)
        assert (await js.stream_info("LEDGER_0")).state.last_seq == end, "nothing is published"
        shown = older.farebox("admin", "stream", "show", "0")
        assert (shown.returncode, f"from position {shared + 1} on" in shown.stdout) == (1, True)

        done = older.farebox("admin", "stream", "rebuild", "0", "--keep", str(tmp_path))
        assert done.returncode == 0, done.stderr
        await older.becomes_ready()
        kept = (tmp_path / "stream-0-before-incarnation-2.jsonl").read_bytes().splitlines()
        assert kept == restored.lost
        await until(lambda: stream_is_the_log(older, js))

        log = [json.loads(body) for _, body in await older.log()]
        (started,) = [event for event in log if event["type"] == "IncarnationStarted"]
        assert started["data"]["first_position"] == shared + 1
        assert started["position"] == shared + 4, "after what was written before the rebuild"
        assert [event["incarnation"] for event in log] == [1] * (shared + 3) + [2]

        async with following(restored.effects, older.database) as pull:
            after = await customer(admin, grants=1)
            await restored.effects.reach(2, shared + 6)
            assert pull.problem() is None
        again = (await restored.effects.all())[end:]
        assert [(e.incarnation, e.position) for e in again] == [
            (2, shared + n) for n in (1, 2, 3, 5, 6)
        ]
        assert [e.command for e in again if e.command in {between, after}] == [between, after]
        assert await admin.send(restored.repeated, give_up_s=10) == restored.first_reply
        nothing = older.farebox("admin", "stream", "rebuild", "0", "--keep", str(tmp_path))
        assert nothing.returncode == 2
        assert "nothing is to be rebuilt" in nothing.stderr
    await older.assert_books_are_right()
