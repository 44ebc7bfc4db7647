import asyncio
import contextlib
import time
from datetime import timedelta

import pytest

from libs.events import subjects
from libs.events.codec import decode_command, encode_reply
from libs.events.ids import new_id, partition_of
from libs.events.spend_commands import Release, ReleaseData
from libs.events.times import from_text
from libs.runtime import command_client
from libs.runtime.broker import broker_watch, open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.errors import (
    InstallationMismatch,
    LedgerUnavailable,
    PermissionDenied,
    QueryFailed,
)
from libs.runtime.health import Health
from libs.runtime.supervision import Lifecycle

PARTITIONS = 3
NOW = "2026-11-20T12:00:00.000000Z"


def a_command(**data):
    res = new_id("req")
    return Release(
        caller_id=res,
        account_id=new_id("acct"),
        correlation_id=res,
        data=ReleaseData(
            res=res,
            reserve_deadline=None,
            reason_code="failed",
            route=None,
            attempts=[],
            status=500,
        ).model_copy(update=data),
    )


def reply(kind, account_id=None, **data):
    return encode_reply(
        {
            "reply": kind,
            "account_id": account_id,
            "incarnation": 1,
            "position": None,
            "event_count": 0,
            "data": data,
        }
    )


class Ledger:
    """Answers each message with the next of its script; a step may wait for an event first."""

    def __init__(self, nc):
        self.nc = nc
        self.script = []
        self.heard = []
        self.late = []
        self.headers = {"Farebox-Ledger-Now": NOW}

    async def listen(self, subject="ledger.commands.*.use"):
        self.subscription = await self.nc.subscribe(subject, cb=self._answer)
        await self.nc.flush()

    async def _answer(self, message):
        self.heard.append((message.subject, message.data))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, tuple):
            self.late.append(asyncio.create_task(self._send(message.reply, *step)))
        elif step is not None:
            await self._send(message.reply, None, step)

    async def _send(self, to, event, raw):
        if event is not None:
            await event.wait()
        await self.nc.publish(to, raw, headers=self.headers)


@pytest.fixture
async def ledger(nats_server):
    async with nats_server.client("ledger") as nc:
        yield Ledger(nc)


@contextlib.asynccontextmanager
async def open_client(server, command_class=subjects.USE, partitions=PARTITIONS):
    async with open_broker(server.settings(), "gateway", Lifecycle(), Health()) as broker:
        yield CommandClient(
            broker.connection,
            command_class=command_class,
            partitions=partitions,
            watch=broker_watch(broker),
            clock=SystemClock(),
        )


@pytest.fixture
async def client(nats_server):
    async with open_client(nats_server) as made:
        yield made


async def test_a_command_reaches_its_accounts_partition_once(client, ledger):
    ledger.script = [reply("Released", released="1")]
    await ledger.listen()
    for _ in range(10):
        command = a_command()
        answer = await client.send(command, give_up_s=4)
        assert answer.reply == "Released"
        assert answer.data == {"released": "1"}
        subject, raw = ledger.heard.pop()
        partition = partition_of(command.account_id, PARTITIONS)
        assert subject == f"ledger.commands.{partition}.use"
        assert decode_command(raw) == command
        assert ledger.heard == []


@pytest.mark.parametrize("kind", ["Declined", "Conflict", "Malformed", "RejectedByStore"])
async def test_every_final_reply_is_returned(client, ledger, kind):
    ledger.script = [reply(kind, code="x")]
    await ledger.listen()
    assert (await client.send(a_command(), give_up_s=4)).reply == kind
    assert len(ledger.heard) == 1


@pytest.mark.requirement("RSV-3")
@pytest.mark.parametrize("first", ["Busy", "Retry"])
async def test_a_reply_that_is_not_final_repeats_the_same_bytes(client, ledger, first):
    ledger.script = [reply(first), reply(first), reply("Released")]
    await ledger.listen()
    assert (await client.send(a_command(), give_up_s=4)).reply == "Released"
    assert len(ledger.heard) == 3
    assert len(set(ledger.heard)) == 1, "the same subject and bytes each time"


async def test_a_reply_nobody_can_read_is_asked_for_again(client, ledger):
    ledger.script = [b"nonsense", reply("Surprise"), reply("Released")]
    await ledger.listen()
    assert (await client.send(a_command(), give_up_s=4)).reply == "Released"


async def test_nobody_there_is_retried_until_somebody_is(client, ledger, eventually):
    ledger.script = [reply("Released")]
    sending = asyncio.create_task(client.send(a_command(), give_up_s=10))
    await eventually(lambda: "no_responders" in client._retries)
    await ledger.listen()
    assert (await sending).reply == "Released"


@pytest.mark.parametrize("script", [None, reply("Busy"), reply("Retry")])
async def test_it_gives_up_in_time(client, ledger, script, monkeypatch):
    monkeypatch.setattr(command_client, "ATTEMPT_S", 60.0)  # never longer than what is left
    ledger.script = [script]
    await ledger.listen()
    started = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        await client.send(a_command(), give_up_s=0.4)
    assert 0.4 <= time.monotonic() - started < 30


async def test_nobody_there_gives_up_in_time(client):
    started = time.monotonic()
    with pytest.raises(LedgerUnavailable, match="no_responders"):
        await client.send(a_command(), give_up_s=0.3)
    assert time.monotonic() - started >= 0.3


async def test_an_answer_after_its_attempt_is_ignored(client, ledger, monkeypatch):
    monkeypatch.setattr(command_client, "ATTEMPT_S", 0.1)
    now = asyncio.Event()
    ledger.script = [(now, reply("Released", released="1")), reply("Released", released="2")]
    await ledger.listen()
    assert (await client.send(a_command(), give_up_s=4)).data == {"released": "2"}
    now.set()
    await asyncio.gather(*ledger.late)
    ledger.script = [reply("Released", released="3")]
    assert (await client.send(a_command(), give_up_s=4)).data == {"released": "3"}


async def test_attempts_wait_one_second_at_most(client, ledger, monkeypatch):
    waits, attempt = [], client._attempt

    async def noted(subject, raw, timeout_s, accept):
        waits.append(timeout_s)
        return await attempt(subject, raw, timeout_s, accept)

    monkeypatch.setattr(client, "_attempt", noted)
    ledger.script = [None, reply("Released")]
    await ledger.listen()
    started = time.monotonic()
    await client.send(a_command(), give_up_s=60)
    assert time.monotonic() - started >= 1.0
    assert len(ledger.heard) >= 2
    assert max(waits) == 1.0


async def test_a_forbidden_class_fails_at_once(nats_server):
    async with open_client(nats_server, subjects.MONEY) as client:
        started = time.monotonic()
        with pytest.raises(PermissionDenied) as caught:
            await client.send(a_command(), give_up_s=60)
        assert time.monotonic() - started < 30
        assert caught.value.subject.endswith(".money")


async def test_a_server_killed_while_a_request_waits_is_waited_out(own_nats_server, eventually):
    async with open_client(own_nats_server) as client:
        async with own_nats_server.client("ledger") as nc:
            hearing = Ledger(nc)
            hearing.script = [None]
            await hearing.listen()
            command = a_command()
            sending = asyncio.create_task(client.send(command, give_up_s=20))
            await eventually(lambda: hearing.heard)
            own_nats_server.kill()
        await own_nats_server.start()
        async with own_nats_server.client("ledger") as nc:
            answering = Ledger(nc)
            answering.script = [reply("Released")]
            await answering.listen()
            assert (await sending).reply == "Released"
        assert answering.heard[-1] == hearing.heard[0], "the same bytes after the restart"


@pytest.mark.requirement("RSV-8")
async def test_while_disconnected_nothing_is_kept_to_be_sent_later(own_nats_server, eventually):
    async with open_client(own_nats_server) as client:
        nc = client._nc
        own_nats_server.kill()
        await eventually(lambda: not nc.is_connected)
        with pytest.raises(LedgerUnavailable, match="disconnected"):
            await client.send(a_command(), give_up_s=0.3)
        assert nc.pending_data_size == 0


async def test_a_command_that_no_ledger_would_take_is_not_sent(client, ledger):
    ledger.script = [reply("Released")]
    await ledger.listen()
    command = a_command()
    mixed = command.model_copy(update={"caller_id": new_id("req")})
    with pytest.raises(ValueError):
        await client.send(mixed, give_up_s=1)
    assert ledger.heard == []


async def test_the_ledgers_time_is_its_last_word_plus_what_passed_since(client, ledger):
    with pytest.raises(LedgerUnavailable):
        client.ledger_now()
    ledger.script = [reply("Released")]
    await ledger.listen()
    before = time.monotonic()
    await client.send(a_command(), give_up_s=4)
    passed = client.ledger_now() - from_text(NOW)
    assert timedelta(0) <= passed <= timedelta(seconds=time.monotonic() - before)
    assert client.ledger_now() >= from_text(NOW) + passed


class TestQueries:
    async def test_an_answer_comes_from_the_accounts_partition(self, client, ledger):
        ledger.script = [b'{"ok": true, "position": 3, "as_of_position": null, "data": {"a": 1}}']
        await ledger.listen("ledger.queries.>")
        account = new_id("acct")
        answer = await client.query("balance", {"account_id": account}, account_id=account)
        assert answer["data"] == {"a": 1}
        assert answer["position"] == 3
        partition = partition_of(account, PARTITIONS)
        assert ledger.heard == [
            (f"ledger.queries.{partition}.balance", b'{"account_id":"%s"}' % account.encode())
        ]

    async def test_a_partition_may_be_named(self, client, ledger):
        ledger.script = [b'{"ok": true, "data": {}}']
        await ledger.listen("ledger.queries.>")
        await client.query("key_by_hash", {"hash": "x"}, partition=2)
        assert ledger.heard[0][0] == "ledger.queries.2.key_by_hash"

    async def test_an_error_has_its_code(self, client, ledger):
        ledger.script = [b'{"ok": false, "code": "unknown_account", "message": "no such"}']
        await ledger.listen("ledger.queries.>")
        with pytest.raises(QueryFailed) as caught:
            await client.query("balance", {}, partition=0)
        assert (caught.value.code, caught.value.message) == ("unknown_account", "no such")

    async def test_neither_account_nor_partition_is_a_mistake(self, client):
        with pytest.raises(ValueError):
            await client.query("balance", {})

    async def test_no_answer_in_time_is_the_ledgers_absence(self, client):
        with pytest.raises(LedgerUnavailable):
            await client.query("balance", {}, partition=0, timeout_s=0.2)

    @pytest.mark.parametrize("raw", [b"", b"nonsense", b"[1]"])
    async def test_an_answer_nobody_can_read_is_asked_for_again(self, client, ledger, raw):
        ledger.script = [raw, b'{"ok": true, "data": {}}']
        await ledger.listen("ledger.queries.>")
        assert (await client.query("balance", {}, partition=0))["ok"] is True

    async def test_a_forbidden_query_fails_at_once(self, nats_server):
        async with open_broker(nats_server.settings(), "provision", Lifecycle(), Health()) as b:
            client = CommandClient(
                b.connection,
                command_class="use",
                partitions=1,
                watch=broker_watch(b),
                clock=SystemClock(),
            )
            with pytest.raises(PermissionDenied):
                await client.query("balance", {}, partition=0, timeout_s=30)


class TestInstallation:
    @staticmethod
    def answer(partitions):
        return (
            b'{"ok": true, "data": {"partitions": %d, "incarnation": 1, "last_position": 0,'
            b' "ledger_now": "%s"}}' % (partitions, NOW.encode())
        )

    async def test_the_same_number_of_partitions_is_accepted_and_time_learnt(self, client, ledger):
        ledger.headers = None
        ledger.script = [self.answer(PARTITIONS)]
        await ledger.listen("ledger.queries.>")
        assert (await client.check_installation())["incarnation"] == 1
        assert client.ledger_now() >= from_text(NOW)

    async def test_another_number_is_refused(self, client, ledger):
        ledger.script = [self.answer(4)]
        await ledger.listen("ledger.queries.>")
        with pytest.raises(InstallationMismatch) as caught:
            await client.check_installation()
        assert (caught.value.ours, caught.value.theirs) == (3, 4)

    async def test_a_ledger_that_is_not_there_yet_is_waited_for(self, client, ledger, eventually):
        ledger.script = [self.answer(PARTITIONS)]
        checking = asyncio.create_task(client.check_installation())
        await eventually(lambda: "no_responders" in client._retries)
        await ledger.listen("ledger.queries.>")
        await checking
