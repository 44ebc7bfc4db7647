"""Every stream and durable consumer, made in one place by the NATS user `provision`.

A service only binds to what is here: a client that creates on the way ignores changed settings.
"""

from typing import Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from libs.events import subjects

DAY_S: Final = 24 * 3600
FOLLOWERS: Final = ("recharge", "payments")
"""Services with a durable consumer of that name on every LEDGER stream."""
ACK_WAIT_S: Final = 60.0
MAX_ACK_PENDING: Final = 4096


def ledger_stream(partition: int) -> StreamConfig:
    """A copy of one partition's log: sequence == position, so nothing may be deleted from it."""
    return StreamConfig(
        name=subjects.stream(partition),
        subjects=[subjects.events(partition)],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=30 * DAY_S,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        allow_atomic=True,
    )


def recharge_stream() -> StreamConfig:
    """The sweep's schedule. No max_age: it would delete the schedule itself, in silence."""
    return StreamConfig(
        name=subjects.RECHARGE_STREAM,
        subjects=["recharge.schedule.>", "recharge.sweep.>"],
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        allow_msg_schedules=True,
    )


def quarantine_stream() -> StreamConfig:
    return StreamConfig(
        name=subjects.QUARANTINE_STREAM,
        subjects=["quarantine.*.*"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=30 * DAY_S,
        max_bytes=256 * 1024 * 1024,
    )


def follower(name: str) -> ConsumerConfig:
    """A durable pull consumer; where it stands is decided by who follows, by reset."""
    return ConsumerConfig(
        durable_name=name,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_ack_pending=MAX_ACK_PENDING,
    )


def sweeper() -> ConsumerConfig:
    """One run of the sweep at a time, over all processes."""
    return ConsumerConfig(
        durable_name="recharge",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=30.0,
        filter_subject="recharge.sweep.>",
    )


async def provision(nc: Client, partitions: int) -> None:
    """Create what is missing and update what differs; safe to run again at any time."""
    js = nc.jetstream()
    for partition in range(partitions):
        await _stream(js, ledger_stream(partition))
        for name in FOLLOWERS:
            await js.add_consumer(subjects.stream(partition), follower(name))
    await _stream(js, recharge_stream())
    await js.add_consumer(subjects.RECHARGE_STREAM, sweeper())
    await _stream(js, quarantine_stream())


async def _stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.stream_info(str(config.name))
    except NotFoundError:
        await js.add_stream(config)
    else:
        await js.update_stream(config)
