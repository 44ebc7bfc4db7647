import asyncio
import sys
import time

import nats
import pytest
from faststream.nats import NatsRouter

from libs.runtime.broker import (
    BrokerUnavailable,
    ConnectionLost,
    PermissionDenied,
    broker_watch,
    open_broker,
)
from libs.runtime.health import Health
from libs.runtime.settings import Settings
from libs.runtime.supervision import Lifecycle


async def test_a_connected_broker_is_ready_and_answers(nats_server):
    router = NatsRouter()

    @router.subscriber("ledger.queries.0.echo")
    async def echo(body: dict) -> dict:
        return body

    health, lifecycle = Health(), Lifecycle()
    async with open_broker(
        nats_server.settings(), "ledger", lifecycle, health, routers=[router]
    ) as broker:
        assert health.problems() == {}
        assert broker.connection.is_connected
        async with nats_server.client("gateway") as nc:
            reply = await nc.request("ledger.queries.0.echo", b'{"a":1}', timeout=2)
    assert reply.data == b'{"a":1}'
    assert reply.subject.startswith("inbox.gateway.")
    assert not lifecycle.stopping.is_set(), "an ordered stop is not a failure"


async def test_an_absent_server_is_an_error_within_its_time(nats_server):
    settings = Settings(nats_url="nats://127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"no NATS server at nats://127.0.0.1:1 within 0.5"):
        async with open_broker(settings, "ledger", Lifecycle(), Health(), first_connect_s=0.5):
            pass
    assert time.monotonic() - started < 5


PROGRAM = """
from libs.runtime.broker import open_broker
from libs.runtime.health import Health
from libs.runtime.settings import Settings
from libs.runtime.supervision import run

async def serve(settings, lifecycle):
    async with open_broker(settings, "gateway", lifecycle, Health()):
        print("connected")

run(serve, Settings())
"""


async def test_a_wrong_password_ends_the_process_at_once_and_does_not_show(nats_server):
    # In a process of its own: nats-py leaves a refused connection's socket to the collector.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env={"FAREBOX_NATS_URL": nats_server.url, "FAREBOX_NATS_PASSWORD": "wrong-secret"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert out == b""
    assert b"refuses user gateway: nats: 'Authorization Violation'" in err
    assert b"wrong-secret" not in err


async def test_a_forbidden_publish_makes_it_not_ready(nats_server, eventually):
    health = Health()
    async with open_broker(nats_server.settings(), "gateway", Lifecycle(), health) as broker:
        await broker.connection.publish("ledger.commands.0.money", b"")
        await broker.connection.flush()
        await eventually(health.problems)
    assert health.problems()["nats_permissions"] == (
        "NATS refuses publish to ledger.commands.0.money"
    )


async def test_a_forbidden_subscription_makes_it_not_ready(nats_server, eventually):
    health = Health()
    async with open_broker(nats_server.settings(), "gateway", Lifecycle(), health) as broker:
        await broker.connection.subscribe("inbox.payments.>")
        await eventually(health.problems)
    assert "NATS refuses subscription to inbox.payments.>" in health.problems()["nats_permissions"]


async def test_a_forbidden_request_fails_at_once_instead_of_timing_out(nats_server):
    async with open_broker(nats_server.settings(), "gateway", Lifecycle(), Health()) as broker:
        started = time.monotonic()
        with pytest.raises(PermissionDenied):
            async with broker_watch(broker).guard("ledger.commands.0.money"):
                await broker.connection.request("ledger.commands.0.money", b"", timeout=60)
        assert time.monotonic() - started < 30


async def test_it_comes_back_by_itself_after_the_server_was_killed(own_nats_server, eventually):
    health, lifecycle = Health(), Lifecycle()
    async with (
        open_broker(own_nats_server.settings(), "gateway", lifecycle, health) as broker,
        own_nats_server.client("root") as other,
    ):
        heard = await other.subscribe("ledger.commands.0.use")  # and never answers
        await other.flush()
        request = asyncio.create_task(guarded_request(broker, "ledger.commands.0.use"))
        await heard.next_msg(timeout=10)
        own_nats_server.kill()
        with pytest.raises(ConnectionLost):
            await request
        await eventually(lambda: "nats" in health.problems())
        await own_nats_server.start()
        await eventually(lambda: health.problems() == {})
        assert not lifecycle.stopping.is_set()


async def guarded_request(broker, subject):
    async with broker_watch(broker).guard(subject):
        return await broker.connection.request(subject, b"", timeout=20)


async def test_stopping_while_disconnected_does_not_hang(own_nats_server, eventually):
    lifecycle = Lifecycle()
    async with open_broker(own_nats_server.settings(), "gateway", lifecycle, Health()) as broker:
        own_nats_server.kill()
        await eventually(lambda: not broker.connection.is_connected)
    assert not lifecycle.stopping.is_set()


async def test_a_user_refused_after_a_restart_ends_the_process(own_nats_server, eventually):
    lifecycle = Lifecycle()
    async with open_broker(own_nats_server.settings(), "gateway", lifecycle, Health()):
        own_nats_server.kill()
        await own_nats_server.start(password="changed")
        await eventually(lifecycle.stopping.is_set)
    assert lifecycle.exit_code == 1
    assert "refuses user gateway" in lifecycle.reason


async def test_a_connection_closed_for_good_ends_the_process(nats_server, eventually):
    lifecycle = Lifecycle()
    async with open_broker(nats_server.settings(), "gateway", lifecycle, Health()) as broker:
        await broker.connection.close()
        await eventually(lifecycle.stopping.is_set)
    assert lifecycle.reason == "NATS connection closed"


async def test_a_closed_connection_ends_nothing_that_is_already_stopping(nats_server):
    lifecycle = Lifecycle()
    async with open_broker(nats_server.settings(), "gateway", lifecycle, Health()) as broker:
        lifecycle.stop()
        await broker.connection.close()
    assert lifecycle.exit_code == 0


async def test_the_server_tells_subjects_in_lower_case(nats_server, eventually):
    """The assumption under PermissionWatch; an upgrade that changes it must be noticed."""
    seen = []

    async def see(error):
        seen.append(str(error))

    nc = await nats.connect(
        nats_server.url, user="gateway", password=nats_server.password, error_cb=see
    )
    await nc.publish("Some.Subject", b"")
    await eventually(lambda: seen)
    await nc.close()
    assert seen == ['nats: permissions violation for publish to "some.subject"']
