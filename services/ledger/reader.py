"""The reader process: projections and queries of every partition."""

import asyncio
import logging
from collections.abc import Sequence

import asyncpg
import orjson
from faststream.nats import NatsRouter
from faststream.nats.annotations import NatsMessage
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from libs.events import subjects
from libs.events.queries import QUERIES
from libs.runtime.broker import open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.database import Connection, Pool, connect, pool
from libs.runtime.health import Health, serve_health
from libs.runtime.metrics import counter
from libs.runtime.quarantine import quarantine
from libs.runtime.supervision import Lifecycle
from services.ledger.follower import Follower
from services.ledger.queries import Queries, QueryError
from services.ledger.settings import ReaderSettings

log = logging.getLogger(__name__)

QUEUE = "reader"
"""Queue group: every question goes to one of the readers."""
POINT_LOOKUPS = {
    "search_path": "ledger",
    # Runs of events touch rows by key; without these the planner may scan a table that it
    # believes to be small.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # Or keep all of it, once for each run: of a table that was vacuumed while it was empty.
    "enable_material": "off",
}

answered = counter("queries_answered_total", "Questions answered.")
refused = counter("queries_refused_total", "Questions that could not be answered.")


class NotMigratedError(RuntimeError):
    """The database has no installation: `farebox migrate` has not run."""


async def serve(settings: ReaderSettings, lifecycle: Lifecycle) -> None:
    """Follow the log and answer until stopped. Raises NotMigratedError."""
    health = Health()
    async with pool(settings, settings.connections) as connections:
        partitions = await _partitions(connections)
        followers: list[Follower] = []
        queries = Queries(
            connections,
            SystemClock(),
            partitions=partitions,
            wait_s=settings.read_your_writes_s,
            nudge=lambda p: followers[p].wake.set(),
        )
        router = _router(queries, settings.questions_at_once)
        async with open_broker(settings, "reader", lifecycle, health, routers=[router]) as broker:
            followers += _followers(settings, broker.connection, partitions)
            for follower in followers:
                health.add(f"partition {follower.partition}", follower.health)
            hints = await broker.connection.subscribe(
                subjects.ALL_COMMITTED, cb=_Waking(followers).wake
            )
            async with serve_health(settings, health, lifecycle):
                for follower in followers:
                    lifecycle.spawn(follower.run(), f"follower-{follower.partition}")
                await lifecycle.stopping.wait()
            await hints.unsubscribe()
            await lifecycle.close()


async def _partitions(connections: Pool) -> int:
    try:
        found = await connections.fetchval("select partitions from ledger.installation")
    except asyncpg.UndefinedTableError:
        found = None
    if found is None:
        raise NotMigratedError("ledger.installation is empty: run `farebox migrate` first")
    return int(found)


def _followers(settings: ReaderSettings, nc: Client, partitions: int) -> list[Follower]:
    async def own_connection() -> Connection:
        return await connect(settings, server_settings=POINT_LOOKUPS)

    async def pass_over(partition: int, position: int, raw: bytes, error: str) -> None:
        await quarantine(nc, "reader", partition, position, raw, error)

    return [
        Follower(p, own_connection, pass_over, batch=settings.batch, poll_s=settings.poll_s)
        for p in range(partitions)
    ]


class _Waking:
    """The hint that a partition has new events; losing one costs a poll interval, no more."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._by_subject = {subjects.committed(f.partition): f for f in followers}

    async def wake(self, message: Msg) -> None:
        follower = self._by_subject.get(message.subject)
        if follower is not None:
            follower.wake.set()


def _router(queries: Queries, at_once: int) -> NatsRouter:
    router = NatsRouter()

    @router.subscriber(
        "ledger.queries.*.*", QUEUE, max_workers=at_once, no_reply=True, decoder=_undecoded
    )
    async def answer_question(message: NatsMessage) -> None:
        raw = message.raw_message
        # A reply subject is chosen by the asker: answering elsewhere would lend it our rights.
        if isinstance(raw, Msg) and raw.reply.startswith("inbox."):
            await raw.respond(await answer(queries, raw.subject, raw.data))

    return router


async def _undecoded(message: NatsMessage) -> bytes:
    return bytes(message.body)


async def answer(queries: Queries, subject: str, raw: bytes) -> bytes:
    """The bytes of the answer to a question; never raises for what it was asked."""
    named = subjects.parse_query_subject(subject)
    if named is None or named[1] not in QUERIES:
        return _refusal("unknown_query", f"no query answers {subject}")
    partition, name = named
    try:
        question = QUERIES[name][0].model_validate_json(raw or b"{}")
        told = await queries.tell(partition, question)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return _refusal("malformed", f"{place}: {first['msg']}")
    except QueryError as error:
        return _refusal(error.code, str(error))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        log.warning("%s: no answer from Postgres: %r", subject, error)
        return _refusal("unavailable", "the ledger's tables cannot be read now")
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("%s could not be answered", subject)
        return _refusal("internal", "this question could not be answered")
    answered.inc()
    return orjson.dumps({"ok": True, **told._asdict()})


def _refusal(code: str, message: str) -> bytes:
    refused.inc()
    return orjson.dumps({"ok": False, "code": code, "message": message[:300]})
