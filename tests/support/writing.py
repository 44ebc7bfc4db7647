"""A writer on real Postgres without NATS: commands go in, replies and rows come out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import orjson

from libs.events.commands import Command
from libs.events.events import TYPE_NAMES
from libs.events.fingerprints import fingerprint
from libs.events.replies import REPLY_TO, STRICT_REPLIES
from libs.runtime.clock import ManualClock
from services.ledger.columns import EventRow
from services.ledger.command_key import command_key
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.catalogues import Term, Terms
from services.ledger.pending import Pending
from services.ledger.store import Store
from services.ledger.working_set import WorkingSet
from services.ledger.writer import Writer
from tests.support.deciding import CATALOGUE

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Published(NamedTuple):
    """A committed event, as the relay is told of it."""

    position: int
    type: str
    body: bytes
    row: EventRow


@dataclass
class Bench:
    """One writer of partition 0 and everything it said."""

    writer: Writer
    clock: ManualClock
    connection: "asyncpg.Connection[Any]"
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)

    @property
    def at(self) -> datetime:
        return self.writer.now().at

    async def run(self, *commands: Command) -> list[dict[str, Any]]:
        """Run commands as one batch and return their replies in order, each as its schema says.

        What the ledger tells itself is answered to nobody, so that no schema binds it.
        """
        pendings = [pending(command, f"inbox.{i}") for i, command in enumerate(commands)]
        self.replies.clear()
        await self.writer.step(pendings)
        replies = [self.replies[f"inbox.{i}"] for i in range(len(commands))]
        for command, reply in zip(commands, replies, strict=True):
            if command.kind in REPLY_TO or reply["reply"] not in REPLY_TO.values():
                STRICT_REPLIES[reply["reply"]].model_validate_json(orjson.dumps(reply))
        return replies

    async def close(self) -> None:
        await self.connection.close()


def pending(command: Command, reply_to: str | None) -> Pending:
    return Pending(command, command_key(command), fingerprint(command), reply_to)


class SellingStore(Store):
    """A store that was told to sell by CATALOGUE, outside the log: stories begin at position 1."""

    async def catalogues(self) -> Terms:
        return {CATALOGUE: Term("2000-01-01T00:00:00.000000Z"), **await super().catalogues()}


async def open_bench(
    dsn: str, *, behind: bool = False, selling: bool = True, **limits: int
) -> Bench:
    """Take over partition 0, with a clock at the log's end (or, `behind`, at START).

    `selling`: by CATALOGUE from the start, without an event that says so.
    """
    connection = await asyncpg.connect(dsn)
    store = (SellingStore if selling else Store)(connection, 0)
    await store.prepare()
    clock = ManualClock(START)
    working = WorkingSet(limits.get("accounts", 1000), limits.get("commands", 1000))
    bench: Bench

    async def reply(replies: Sequence[tuple[str, bytes]], _now: str) -> None:
        bench.replies.update((subject, orjson.loads(raw)) for subject, raw in replies)

    async def committed(events: list[EventRow]) -> None:
        bench.published.extend(Published(e[0], TYPE_NAMES[e[3]], e[4], e) for e in events)

    writer = Writer(
        store, working, CommandQueue(256, clock.monotonic), clock, incarnation=1, reply=reply,
        committed=committed,
    )  # fmt: skip
    bench = Bench(writer, clock, connection)
    await writer.take_over()
    if not behind:
        clock.advance(max(0.0, (writer.last_at - START).total_seconds()))
    return bench
