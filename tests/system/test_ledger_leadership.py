"""Two ledger processes: one leads, the other stands by and takes over within seconds."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from libs.events import subjects
from libs.events.codec import encode_command
from libs.events.commands import KIND_CODES
from libs.events.ids import new_id, partition_of
from libs.events.times import from_text
from tests.support.database import PARTITIONS
from tests.support.deciding import grant, issue_key, open_account, reserve
from tests.support.nats import connected
from tests.support.process import Process
from tests.support.publishing import selling
from tests.support.services import example_config, ledger_client
from tests.support.waiting import until

PATIENT_S = 20.0


@asynccontextmanager
async def paired(database: Any, folder: Path, **leader_env: str) -> AsyncIterator[Any]:
    """A leader of all partitions, a standby for all of them, a reader and clients."""
    config = example_config(folder)
    leader = Process("ledger", database, folder, config=config, env=leader_env)
    standby = Process("ledger-2", database, folder, config=config)
    reader = Process("reader", database, folder, config=config)
    try:
        leader.start()
        standby.start()
        reader.start()
        async with (
            ledger_client(database, "admin", "admin") as admin,
            ledger_client(database, "gateway", "use") as use,
        ):
            await admin.check_installation()
            await use.check_installation()
            yield SimpleNamespace(
                leader=leader, standby=standby, admin=admin, use=use, database=database
            )
    finally:
        for process in (leader, standby, reader):
            process.stop()


@pytest.fixture
async def pair(database: Any, streams: Any, tmp_path: Path) -> AsyncIterator[Any]:
    async with paired(database, tmp_path) as made:
        yield made


async def rich(pair: Any) -> tuple[str, str]:
    account, key = new_id("acct"), new_id("key")
    deadline = pair.admin.ledger_now() + timedelta(seconds=60)
    for command in (
        selling(account), open_account(account), issue_key(account, key, deadline), grant(account, 1000)
    ):  # fmt: skip
        await pair.admin.send(command, give_up_s=PATIENT_S)
    return account, key


def hold(pair: Any, account: str, key: str) -> Any:
    return reserve(account, key, 1, pair.use.ledger_now() + timedelta(minutes=5))


async def events(pair: Any) -> int:
    connection = await asyncpg.connect(pair.database.dsn("auditor"))
    try:
        return await connection.fetchval("select count(*) from ledger.events")
    finally:
        await connection.close()


@pytest.mark.requirement("OPS-2")
async def test_stopped_leader_is_replaced_and_silent_when_resumed(pair):
    account, key = await rich(pair)
    pair.leader.kill(signal.SIGSTOP)
    held = hold(pair, account, key)
    reply = await pair.use.send(held, give_up_s=PATIENT_S)
    assert reply.reply == "Reserved"
    before = await events(pair)
    pair.leader.kill(signal.SIGCONT)

    async def gone() -> bool:
        return not pair.leader.alive

    await until(gone, patience_s=PATIENT_S)
    assert pair.leader.exit_code != 0
    assert await events(pair) == before, "the resumed leader wrote nothing"
    assert await pair.use.send(held, give_up_s=PATIENT_S) == reply


class Listener:
    """Asks as a gateway and counts the answers to each question, whoever gives them."""

    def __init__(self, nc: Any, subject: str) -> None:
        self.nc = nc
        self.subject = subject
        self.answers: Counter[str] = Counter()

    async def open(self) -> "Listener":
        await self.nc.subscribe("inbox.gateway.zombie.*", cb=self._hear)
        return self

    async def _hear(self, msg: Any) -> None:
        self.answers[msg.subject] += 1

    async def heard(self, *inboxes: str) -> bool:
        """Whether each of these was answered."""
        return all(self.answers[inbox] for inbox in inboxes)

    async def ask(self, command: Any) -> str:
        inbox = f"inbox.gateway.zombie.{command.caller_id}"
        await self.nc.publish(self.subject, encode_command(command), reply=inbox)
        return inbox


@pytest.mark.requirement("OPS-2", "RSV-3")
async def test_a_resumed_leader_answers_expires_and_publishes_nothing(database, streams, tmp_path):
    """Its timers are all due and its socket is full of commands when it wakes."""
    hasty = {"FAREBOX_EXPIRY_GRACE_S": "0", "FAREBOX_TAKEOVER_QUIET_S": "0",
             "FAREBOX_EXPIRY_TICK_S": "0.02"}  # fmt: skip
    async with (
        paired(database, tmp_path, **hasty) as pair,
        connected(database.stack, "gateway") as nc,
    ):
        account, key = await rich(pair)
        subject = subjects.command(partition_of(account, PARTITIONS), "use")
        listener = await Listener(nc, subject).open()
        deadline = pair.use.ledger_now() + timedelta(minutes=5)
        held = reserve(account, key, 1, deadline, hold_ms=1000)
        due = from_text((await pair.use.send(held, give_up_s=PATIENT_S)).data["expires_at"])
        pair.leader.kill(signal.SIGSTOP)
        to_nobody = [await listener.ask(hold(pair, account, key)) for _ in range(20)]
        await pair.use.send(hold(pair, account, key), give_up_s=PATIENT_S)  # the standby leads

        async def is_due() -> bool:
            return datetime.now(UTC) > due

        await until(is_due)
        to_both = [await listener.ask(hold(pair, account, key)) for _ in range(20)]
        pair.leader.kill(signal.SIGCONT)
        to_both += [await listener.ask(hold(pair, account, key)) for _ in range(50)]
        assert await asyncio.to_thread(pair.leader.wait) != 0
        # Questions and answers of two connections have no order: these are the last of this one.
        last = await listener.ask(hold(pair, account, key))
        await until(lambda: listener.heard(*to_both, last), PATIENT_S)
        assert [listener.answers[inbox] for inbox in to_nobody] == [0] * len(to_nobody)
        assert [listener.answers[inbox] for inbox in to_both] == [1] * len(to_both)
        assert not int(database.sql(
            "select count(*) from ledger.commands where account_id ="
            f" '{account[5:]}' and kind = {KIND_CODES['ExpireReservation']}"
        ))  # fmt: skip
        await until(lambda: streams_are_copies(database))


async def streams_are_copies(database: Any) -> bool:
    """Every stream's sequence is the position, and its bytes are the log's."""
    connection = await asyncpg.connect(database.dsn("auditor"))
    try:
        rows = await connection.fetch("select partition, position, body from ledger.events")
    finally:
        await connection.close()
    ends = Counter(row["partition"] for row in rows)
    async with connected(database.stack, "provision") as nc:
        js = nc.jetstream()
        for partition in range(PARTITIONS):
            state = (await js.stream_info(subjects.stream(partition))).state
            if (state.last_seq, state.messages) != (ends[partition],) * 2:
                return False
        for partition, position, body in rows:
            message = await js.get_msg(subjects.stream(partition), seq=position)
            assert message.data == body, (partition, position)
    return True


@pytest.mark.requirement("OPS-2")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_leader_that_ends_is_replaced_and_no_reply_is_lost(pair, number):
    account, key = await rich(pair)
    sent = [asyncio.create_task(pair.use.send(hold(pair, account, key), give_up_s=PATIENT_S))
            for _ in range(50)]  # fmt: skip
    pair.leader.kill(number)
    replies = await asyncio.gather(*sent)
    assert {reply.reply for reply in replies} == {"Reserved"}
    assert len({reply.data["res"] for reply in replies}) == 50
    after = await pair.use.send(hold(pair, account, key), give_up_s=PATIENT_S)
    assert after.data["reserved"] == "51"


@pytest.mark.requirement("OPS-2")
async def test_idle_standby_holds_no_xmin(pair):
    """A session that waits for a lock would keep old row versions alive and slow the leader."""
    await rich(pair)
    connection = await asyncpg.connect(pair.database.dsn("postgres"))
    try:
        for _ in range(20):
            pinned = await connection.fetch(
                "select pid, state, query from pg_stat_activity where backend_xmin is not null "
                "and application_name like 'farebox-ledger%' and state <> 'active'"
            )
            assert pinned == []
            waiting = await connection.fetchval(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            )
            assert waiting == 0
            await asyncio.sleep(0)
    finally:
        await connection.close()
