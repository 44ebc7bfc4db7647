import nats.errors
import pytest

from libs.runtime.joined import publish_along, publish_joined

HEADERS = {"Farebox-Ledger-Now": "2026-11-20T12:00:00.000000Z", "Other": "x"}


async def test_joined_messages_arrive_as_published_ones_and_in_their_order(
    own_nats_server, eventually
):
    seen = []

    async def see(message):
        seen.append((message.subject, message.data, message.headers, message.reply))

    async with own_nats_server.client("root") as nc:
        await nc.subscribe("a.>", cb=see)
        await nc.publish("a.0", b"first", headers=HEADERS)
        await publish_joined(nc, [("a.1", b""), ("a.2", b"x" * 70_000)], HEADERS)
        await publish_joined(nc, [], HEADERS)
        await nc.publish("a.3", b"last", headers=HEADERS)
        await eventually(lambda: len(seen) == 4)
    assert seen == [
        ("a.0", b"first", HEADERS, ""),
        ("a.1", b"", HEADERS, ""),
        ("a.2", b"x" * 70_000, HEADERS, ""),
        ("a.3", b"last", HEADERS, ""),
    ]


async def test_joined_messages_leave_without_another_publish(own_nats_server, eventually):
    seen = []

    async def see(message):
        seen.append(message.data)

    async with own_nats_server.client("root") as nc:
        await nc.subscribe("a", cb=see)
        await nc.flush()
        await publish_joined(nc, [("a", b"alone")], {})
        await eventually(lambda: seen == [b"alone"])


async def test_what_goes_along_leaves_with_the_next_messages(own_nats_server, eventually):
    seen = []

    async def see(message):
        seen.append((message.subject, message.data))

    async with own_nats_server.client("root") as nc:
        await nc.subscribe("a.>", cb=see)
        await nc.flush()
        await publish_along(nc, "a.hint")
        await publish_joined(nc, [("a.reply", b"x")], {"Other": "y"})
        await eventually(lambda: len(seen) == 2)
    assert seen == [("a.hint", b""), ("a.reply", b"x")]
    await publish_along(nc, "a.hint")  # closed: nothing is sent, nothing is raised


async def test_a_closed_connection_takes_none(own_nats_server):
    async with own_nats_server.client("root") as nc:
        await nc.close()
        with pytest.raises(nats.errors.ConnectionClosedError):
            await publish_joined(nc, [("a", b"x")], {})
