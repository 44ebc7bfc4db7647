import asyncio
import json
import socket

import nats.errors
import pytest
from nats.js.api import ConsumerConfig, StreamConfig

from deploy.nats.config import permissions
from tests.support.nats import Refusals, connected
from tests.support.waiting import eventually

OWN_CLASS = {"gateway": "use", "admin": "admin", "payments": "money", "recharge": "recharge"}
CLASSES = ("use", "money", "recharge", "admin")
USERS = tuple(permissions())


async def refused(stack, user, subject):
    """Whether the server refused that user's request; else nobody listens there."""
    refusals = Refusals()
    text = f'permissions violation for publish to "{subject.lower()}"'
    async with connected(stack, user, refusals) as client:
        asking = asyncio.create_task(client.request(subject, b"{}", timeout=60))

        async def told():
            return asking.done() or any(text in line for line in refusals)

        await eventually(told)
        if not asking.done():
            asking.cancel()  # who is refused is told beside the request, which waits on
            await asyncio.wait({asking})
            return True
        with pytest.raises(nats.errors.NoRespondersError):
            await asking
        assert not refusals
        return False


@pytest.mark.parametrize("command_class", CLASSES)
@pytest.mark.parametrize("user", USERS)
async def test_a_user_may_send_exactly_the_command_class_of_its_process(stack, user, command_class):
    if user == "ledger":
        # It may answer and announce, and never ask.
        assert command_class not in OWN_CLASS.get(user, "")
    allowed = OWN_CLASS.get(user) == command_class
    assert await refused(stack, user, f"ledger.commands.0.{command_class}") is not allowed


@pytest.mark.parametrize("user", [user for user in USERS if user != "ledger"])
async def test_only_the_ledger_writes_events_and_announces_commits(stack, user):
    assert await refused(stack, user, "ledger.events.0.CreditsGranted")
    assert await refused(stack, user, "ledger.committed.0")


@pytest.mark.parametrize("user", USERS)
async def test_a_user_hears_its_own_inbox_and_no_other(stack, user):
    others = {f"inbox.{other}.>" for other in USERS if other != user} | {"inbox.>", ">"}
    refusals = Refusals()
    async with connected(stack, user, refusals) as client:
        for subject in sorted(others):
            await client.subscribe(subject)
        await client.subscribe(f"inbox.{user}.>")

        async def all_refused():
            await client.flush()
            return len(refusals) >= len(others)

        await eventually(all_refused)
        for subject in others:
            assert any(f'subscription to "{subject}"' in line for line in refusals), subject
        assert not any(f'"inbox.{user}.>"' in line for line in refusals)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("ledger", "$JS.API.STREAM.PURGE.LEDGER_0"),
        ("ledger", "$JS.API.STREAM.DELETE.LEDGER_0"),
        ("ledger", "$JS.API.STREAM.CREATE.LEDGER_9"),
        ("ledger", "payments.requests.order"),
        ("reader", "ledger.events.0.CreditsGranted"),
        ("reader", "ledger.queries.0.balance"),
        ("gateway", "inbox.payments.x"),
        ("gateway", "recharge.schedule.all"),
        ("gateway", "$JS.API.CONSUMER.CREATE.LEDGER_0.spy.ledger.events.0.CreditsGranted"),
        ("gateway", "$JS.API.CONSUMER.CREATE.LEDGER_0.spy.ledger.events.0.>"),
        ("gateway", "$JS.API.CONSUMER.MSG.NEXT.LEDGER_0.payments"),
        ("gateway", "$JS.API.STREAM.MSG.GET.LEDGER_0"),
        ("admin", "inbox.gateway.x"),
        ("payments", "inbox.ledger.x"),
        ("payments", "inbox.reader.x"),
        ("payments", "$JS.API.CONSUMER.RESET.LEDGER_0.recharge"),
        ("recharge", "$JS.API.CONSUMER.MSG.NEXT.LEDGER_0.payments"),
        ("recharge", "$JS.API.CONSUMER.DELETE.LEDGER_0.recharge"),
        ("recharge", "inbox.gateway.x"),
        ("provision", "ledger.queries.0.balance"),
    ],
)
async def test_what_is_not_in_the_table_is_refused(stack, user, subject):
    assert await refused(stack, user, subject)


async def test_an_answer_cannot_be_sent_to_a_command_subject_in_the_ledger_s_name(stack):
    """A responder with allow_responses would deliver to any subject that the asker names."""
    refusals, heard = Refusals(), []

    async def answer(message):
        await message.respond(b"evil")

    async def hear(message):
        heard.append(message.subject)

    async with (
        connected(stack, "ledger", refusals) as ledger,
        connected(stack, "gateway") as gateway,
    ):
        await ledger.subscribe("ledger.commands.0.use", cb=answer)
        await ledger.subscribe("ledger.commands.0.money", cb=hear)
        await ledger.flush()
        await gateway.publish("ledger.commands.0.use", b"{}", reply="ledger.commands.0.money")

        async def was_refused():
            await ledger.flush()
            return any('publish to "ledger.commands.0.money"' in line for line in refusals)

        await eventually(was_refused)
    assert heard == []


@pytest.mark.parametrize("options", [{"user": "gateway", "pass": "wrong"}, {}])
def test_nobody_enters_without_the_password(stack, options):
    """In the protocol's own words: nats-py leaves its socket open when it is refused."""
    with socket.create_connection(("127.0.0.1", stack.nats.port), timeout=5) as connection:
        connection.sendall(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert said.endswith(b"-ERR 'Authorization Violation'\r\n")


async def test_streams_survive_kill_9_of_the_server_on_the_same_port(nats_clean):
    stack = nats_clean
    async with connected(stack, "provision") as client:
        jetstream = client.jetstream()
        config = StreamConfig(name="LEDGER_0", subjects=["ledger.events.0.>"])
        await jetstream.add_stream(config)
        await jetstream.add_consumer("LEDGER_0", ConsumerConfig(durable_name="payments"))
    async with connected(stack, "ledger") as client:
        for _ in range(20):
            await client.jetstream().publish("ledger.events.0.CreditsGranted", b"{}")
    port = stack.nats.port
    stack.nats.kill()
    stack.nats.start()
    assert stack.nats.port == port
    assert stack.nats.monitor("/jsz")["config"]["sync_always"] is True
    async with connected(stack, "payments") as client:
        subscription = await client.jetstream().pull_subscribe_bind("payments", "LEDGER_0")
        assert len(await subscription.fetch(20, timeout=5)) == 20
