"""The lives of a partition's log: a new one begins when an older database took over.

The incarnation stands in every event, and that of the last event is the log's: so it is restored
with the log, and needs no row of its own. Incarnations are few; each is found by its command.
"""

import hashlib
from typing import Any
from uuid import UUID

import asyncpg

from libs.events.chain import GENESIS
from libs.events.codec import canonical, load_event
from libs.events.commands import KIND_CODES, StartIncarnation, StartIncarnationData
from libs.events.events import TYPE_CODES
from libs.events.fingerprints import fingerprint
from libs.events.ids import caller_bytes, partition_stream, stream_uuid
from libs.runtime.database import Connection, Pool
from libs.runtime.positions import Incarnation
from services.ledger.bodies import Log
from services.ledger.domain.state import Moment
from services.ledger.slot import Slot
from services.ledger.statements import load

SQL = load("incarnations.sql")
KIND = "StartIncarnation"
EVENT = "IncarnationStarted"
REASON = "stream_rebuilt"


async def begin(
    connection: "asyncpg.Connection[Any]", log: Log, stream: Slot, wanted: Incarnation, now: Moment
) -> tuple[Any, ...] | None:
    """Append IncarnationStarted at the log's end; None when that life, or a later one, is lived.

    `stream` is where the partition's own events end. Returns the event as it was appended:
    position, account, version, type code, body, hash.

    Raises asyncpg.PostgresError, after which the outcome may be unknown.
    """
    if wanted.number <= log.incarnation:
        return None
    command = _command(log.partition, wanted)
    body = {
        "account_id": command.account_id,
        "causation": None,
        "command_id": command.caller_id,
        "correlation_id": command.correlation_id,
        "data": {
            "incarnation": wanted.number,
            "first_position": min(wanted.first_position, log.position + 1),
            "reason_code": REASON,
        },
        "incarnation": wanted.number,
        "occurred_at": now.text,
        "partition": log.partition,
        "position": log.position + 1,
        "prev": stream.head.hex() if stream.version else GENESIS,
        "traceparent": None,
        "type": EVENT,
        "type_version": 1,
        "version": stream.version + 1,
    }
    raw = canonical(body)
    own = stream_uuid(command.account_id).hex
    digest = hashlib.sha256(raw).digest()
    event = (body["position"], own, body["version"], TYPE_CODES[EVENT], raw, digest)
    await connection.execute(
        SQL["start"],
        log.partition,
        *event,
        UUID(bytes=caller_bytes(command.caller_id)),
        KIND_CODES[KIND],
        fingerprint(command),
    )
    return event


async def incarnations(
    connection: "Connection | Pool", partition: int, first: int, last: int
) -> list[Incarnation]:
    """The lives of a log after its `first`, back from its `last` one; the oldest comes first."""
    found: list[Incarnation] = []
    number = last
    while number > first:
        row = await _started(connection, partition, number)
        if row is None:
            break
        data = load_event(row["body"])["data"]
        found.append(Incarnation(number, data["first_position"]))
        number = load_event(row["before"])["incarnation"] if row["before"] else first
    return found[::-1]


async def _started(
    connection: "Connection | Pool", partition: int, number: int
) -> asyncpg.Record | None:
    row: asyncpg.Record | None = await connection.fetchrow(
        SQL["started"],
        partition,
        UUID(bytes=caller_bytes(_caller(number))),
        KIND_CODES[KIND],
        stream_uuid(partition_stream(partition)),
    )
    return row


def _caller(number: int) -> str:
    return f"incarnation:{number}"


def _command(partition: int, wanted: Incarnation) -> StartIncarnation:
    data = StartIncarnationData(incarnation=wanted.number, first_position=wanted.first_position)
    return StartIncarnation(
        kind=KIND,
        caller_id=_caller(wanted.number),
        account_id=partition_stream(partition),
        correlation_id=_caller(wanted.number),
        data=data,
    )
