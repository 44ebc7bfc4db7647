import asyncio
import contextlib

import pytest
from nats.protocol.command import hpub_cmd

from libs.runtime import atomic_publish, framing
from libs.runtime.atomic_publish import (
    MAX_BATCH,
    PublishUnknown,
    WrongLastSequence,
    publish_atomic,
)
from libs.runtime.errors import PermissionDenied
from libs.runtime.joined import write_joined
from libs.runtime.permission_watch import PermissionWatch
from libs.runtime.streams import provision


def batch(count, start=1, partition=0):
    subject = f"ledger.events.{partition}.Kind"
    return [(subject, b'{"n":%d}' % n) for n in range(start, start + count)]


@pytest.fixture
async def relay(own_nats_server):
    """The relay's connection, on a server with fresh streams."""
    async with own_nats_server.client("provision") as nc:
        await provision(nc, 1)
    async with own_nats_server.client("ledger") as nc:
        yield nc


async def stored(nc):
    js = nc.jetstream()
    last = (await js.stream_info("LEDGER_0")).state.last_seq
    return [(await js.get_msg("LEDGER_0", seq=n, direct=True)).data for n in range(1, last + 1)]


async def last_sequence(nc):
    return (await nc.jetstream().stream_info("LEDGER_0")).state.last_seq


@pytest.mark.parametrize("count", [1, 2, 3, 250])
async def test_a_batch_is_stored_in_order_and_its_sequence_returned(relay, count):
    assert await publish_atomic(relay, batch(count), 0) == count
    assert await publish_atomic(relay, batch(2, start=count + 1), count) == count + 2
    assert await stored(relay) == [body for _, body in batch(count + 2)]


async def test_the_largest_batch_fits_and_a_larger_one_is_refused_unsent(relay):
    assert await publish_atomic(relay, batch(MAX_BATCH), 0) == MAX_BATCH
    for messages in (batch(MAX_BATCH + 1), []):
        with pytest.raises(ValueError, match="1 to 1000"):
            await publish_atomic(relay, messages, MAX_BATCH)
    assert await last_sequence(relay) == MAX_BATCH


async def test_the_largest_bodies_pass(relay):
    messages = [("ledger.events.0.Kind", b"x" * 16_384)] * 300  # over the client's write buffer
    assert await publish_atomic(relay, messages, 0) == 300


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("expected", [0, 4, 6])
async def test_a_wrong_last_sequence_stores_nothing_and_tells_the_right_one(relay, count, expected):
    await publish_atomic(relay, batch(5), 0)
    with pytest.raises(WrongLastSequence) as caught:
        await publish_atomic(relay, batch(count, start=6), expected)
    assert (caught.value.expected, caught.value.actual) == (expected, 5)
    assert await last_sequence(relay) == 5


async def test_the_same_batch_twice_is_stored_once(relay):
    await publish_atomic(relay, batch(10), 0)
    with pytest.raises(WrongLastSequence):
        await publish_atomic(relay, batch(10), 0)
    assert await last_sequence(relay) == 10


async def test_of_two_rivals_exactly_one_batch_is_stored(own_nats_server, relay):
    async with own_nats_server.client("ledger") as rival:
        outcomes = await asyncio.gather(
            publish_atomic(relay, batch(50), 0),
            publish_atomic(rival, batch(50, start=1001), 0),
            return_exceptions=True,
        )
    won = [n for n, outcome in enumerate(outcomes) if outcome == 50]
    assert len(won) == 1
    assert isinstance(outcomes[1 - won[0]], WrongLastSequence)
    assert await stored(relay) == [body for _, body in batch(50, start=(1, 1001)[won[0]])]


async def test_without_a_stream_the_outcome_is_unknown(relay):
    with pytest.raises(PublishUnknown):
        await publish_atomic(relay, batch(3, partition=7), 0, timeout_s=1)


async def test_without_atomic_batches_nothing_is_stored(own_nats_server, relay):
    async with own_nats_server.client("provision") as nc:
        await nc.jetstream().add_stream(name="LEDGER_8", subjects=["ledger.events.8.*"])
    with pytest.raises(PublishUnknown) as caught:
        await publish_atomic(relay, batch(3, partition=8), 0, timeout_s=20)
    assert caught.value.err_code is not None
    async with own_nats_server.client("root") as nc:
        assert (await nc.jetstream().stream_info("LEDGER_8")).state.last_seq == 0


async def test_a_server_killed_meanwhile_leaves_the_outcome_unknown_then_the_batch_whole(
    own_nats_server, eventually
):
    async with own_nats_server.client("provision") as nc:
        await provision(nc, 1)
    async with own_nats_server.client(
        "ledger", max_reconnect_attempts=-1, reconnect_time_wait=0.1
    ) as relay:
        own_nats_server.kill()
        with pytest.raises(PublishUnknown):
            await publish_atomic(relay, batch(500), 0, timeout_s=0.5)
        await eventually(lambda: not relay.is_connected)
        with pytest.raises(PublishUnknown, match="not connected"):
            await publish_atomic(relay, batch(500), 0)
        await own_nats_server.start()
        await eventually(lambda: relay.is_connected)
        assert await publish_at_the_end(relay, seen=(ends := [])) in {10, 510}
        assert set(ends) <= {0, 500}, "never a part of a batch"


async def publish_at_the_end(relay, seen):
    """Publish as the relay does: the unknown batch may still be on its way in between."""
    while True:
        seen.append(await last_sequence(relay))
        with contextlib.suppress(WrongLastSequence):
            return await publish_atomic(relay, batch(10, start=seen[-1] + 1), seen[-1])


async def test_a_forbidden_batch_fails_at_once_when_watched(own_nats_server):
    watch = PermissionWatch()

    async def note(error):
        watch.see(error)

    async with own_nats_server.client("gateway", error_cb=note) as nc:
        with pytest.raises(PermissionDenied):
            await publish_atomic(nc, batch(3), 0, timeout_s=20, watch=watch)


async def test_the_lines_of_a_batch_are_what_the_client_itself_would_write():
    messages = batch(3)
    expected = b""
    for number, (subject, body) in enumerate(messages, 1):
        header = b"NATS/1.0\r\nNats-Batch-Id: ID\r\nNats-Batch-Sequence: %d\r\n" % number
        if number == 1:
            header += b"Nats-Expected-Last-Sequence: 41\r\n"
        expected += hpub_cmd(subject, "", header + b"\r\n", body)
    first = {"Nats-Expected-Last-Sequence": "41"}
    assert framing.batched(messages, "ID", first) == expected


async def test_the_lines_of_a_batch_keep_their_place_among_other_publishes(
    own_nats_server, eventually
):
    seen = []

    async def see(message):
        seen.append((message.subject, message.data))

    async with own_nats_server.client("root") as nc:
        await nc.subscribe("a.>", cb=see)
        await nc.publish("a.first", b"1")
        await write_joined(nc, framing.batched([("a.x", b"2"), ("a.y", b"3")], "ID", {}))
        await nc.publish("a.last", b"4")
        await eventually(lambda: len(seen) == 4)
    assert seen == [("a.first", b"1"), ("a.x", b"2"), ("a.y", b"3"), ("a.last", b"4")]


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[]", b"{}", b'{"error":{"err_code":10176}}'])
def test_an_answer_that_says_neither_yes_nor_no_is_unknown(raw):
    with pytest.raises(PublishUnknown):
        atomic_publish._sequence(raw, 0)
