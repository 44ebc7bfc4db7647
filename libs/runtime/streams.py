"""The JetStream streams and durable consumers of an installation, made in this one place.

Every stream is a copy or a queue of what PostgreSQL holds: deleting one loses nothing for good.
"""

import contextlib
from collections.abc import Mapping, Sequence

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from libs.events import subjects
from libs.runtime.positions import Incarnation

DAY_S = 86_400
SCHEDULES = "recharge.schedule.>"
SWEEPS = f"{subjects.RECHARGE_SWEEP}.>"
SWEEP_DURABLE = "recharge"
ACK_WAIT_S = 30
NUMBER = "farebox-incarnation"
FIRST_POSITION = "farebox-first-position"
REBUILT = "farebox-rebuilt"
QUARANTINE_BYTES = 256 * 1024 * 1024

DURABLES: Mapping[str, Sequence[str]] = {
    "payments": ("RechargeStarted",),
    "recharge": ("BalanceFellBelowThreshold",),
}
"""Durable consumers of every LEDGER stream, by name, with the event types each wants."""


async def provision(
    nc: Client, partitions: int, durables: Mapping[str, Sequence[str]] = DURABLES
) -> None:
    """Make or bring up to date all streams and durables, as NATS user ``provision``.

    Repeating it changes nothing and loses nothing. ``durables`` with no event types get all.
    """
    js = nc.jetstream()
    for partition in range(partitions):
        await _ensure_stream(js, ledger_stream(partition))
        for name, types in durables.items():
            await _ensure_durable(js, partition, name, types)
    await _ensure_stream(js, recharge_stream())
    await js.add_consumer(
        subjects.RECHARGE_STREAM,
        ConsumerConfig(
            durable_name=SWEEP_DURABLE,
            filter_subject=SWEEPS,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
        ),
    )
    await _ensure_stream(js, quarantine_stream())


async def recreate(nc: Client, partition: int, incarnation: Incarnation) -> None:
    """Replace a partition's stream by an empty one that begins where its incarnation may differ.

    As NATS user ``provision``. What the old stream held is gone; its durables are made anew.
    """
    js, name = nc.jetstream(), subjects.stream(partition)
    durables: list[ConsumerConfig] = []
    with contextlib.suppress(NotFoundError):
        durables = [each.config for each in await js.consumers_info(name)]
        await js.delete_stream(name)
    await js.add_stream(ledger_stream(partition, incarnation))
    for config in durables:
        if config.durable_name:
            await js.add_consumer(name, config)
    for durable, types in DURABLES.items():
        if durable not in {config.durable_name for config in durables}:
            await _ensure_durable(js, partition, durable, types)


async def mark(nc: Client, partition: int, incarnation: Incarnation) -> None:
    """Write on a stream for which incarnation of its log it is to be made anew."""
    js = nc.jetstream()
    config = (await js.stream_info(subjects.stream(partition))).config
    kept = {**(config.metadata or {}), **_marks(incarnation), REBUILT: "true"}
    await js.update_stream(config.evolve(metadata=kept))


def incarnation_of(config: StreamConfig) -> Incarnation | None:
    """The incarnation that a stream is marked with; None when it was never rebuilt."""
    marks = config.metadata or {}
    if NUMBER not in marks:
        return None
    return Incarnation(int(marks[NUMBER]), int(marks[FIRST_POSITION]))


def is_rebuilt(config: StreamConfig) -> bool:
    """Whether a stream still holds the lost history and is about to be replaced."""
    return REBUILT in (config.metadata or {})


def _marks(incarnation: Incarnation) -> dict[str, str]:
    number, first_position = incarnation
    return {NUMBER: str(number), FIRST_POSITION: str(first_position)}


def ledger_stream(partition: int, incarnation: Incarnation | None = None) -> StreamConfig:
    """Describe the stream of a partition's events, in which sequence == position.

    With ``incarnation`` it begins at that one's first position, and is marked with it.
    """
    return StreamConfig(
        name=subjects.stream(partition),
        subjects=[subjects.events(partition)],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=30 * DAY_S,
        allow_atomic=True,  # the relay's batches
        allow_direct=True,  # the relay compares bytes
        deny_delete=True,
        deny_purge=True,
        first_seq=incarnation.first_position if incarnation else None,
        metadata=_marks(incarnation) if incarnation else None,
    )


def recharge_stream() -> StreamConfig:
    return StreamConfig(
        name=subjects.RECHARGE_STREAM,
        subjects=[SCHEDULES, SWEEPS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,  # a sweep that nobody took is replaced by the next
        max_age=0,  # with an age the schedule itself would age out and sweeping stop
        allow_msg_schedules=True,
    )


def quarantine_stream() -> StreamConfig:
    return StreamConfig(
        name=subjects.QUARANTINE_STREAM,
        subjects=[subjects.ALL_QUARANTINE],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=30 * DAY_S,
        max_bytes=QUARANTINE_BYTES,  # a flood of rubbish must not fill the disk
    )


async def _ensure_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    """Create the stream, or give an existing one the wanted settings."""
    assert wanted.name is not None
    try:
        config = (await js.stream_info(wanted.name)).config
    except NotFoundError:
        await js.add_stream(wanted)
    else:
        # Where it begins and what it is marked with belongs to this stream, not to all of them.
        await js.update_stream(wanted.evolve(first_seq=config.first_seq, metadata=config.metadata))


async def _ensure_durable(
    js: JetStreamContext, partition: int, name: str, types: Sequence[str]
) -> None:
    """Create or update a consumer that is read in order and acknowledged by its last message."""
    config = ConsumerConfig(
        durable_name=name,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL,
        ack_wait=ACK_WAIT_S,
        filter_subjects=[subjects.event(partition, each) for each in types] or None,
    )
    await js.add_consumer(subjects.stream(partition), config)
