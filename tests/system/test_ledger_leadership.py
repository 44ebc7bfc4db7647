"""Two ledger processes: one leads, the other stands by and takes over within seconds."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from libs.events.ids import new_id
from tests.support.deciding import grant, issue_key, open_account, reserve
from tests.support.process import Process
from tests.support.services import example_config, ledger_client
from tests.support.waiting import until

PATIENT_S = 20.0


@pytest.fixture
async def pair(database: Any, streams: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """A leader of all partitions, a standby for all of them, a reader and clients."""
    config = example_config(tmp_path)
    leader = Process("ledger", database, tmp_path, config=config)
    standby = Process("ledger-2", database, tmp_path, config=config)
    reader = Process("reader", database, tmp_path, config=config)
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


async def rich(pair: Any) -> tuple[str, str]:
    account, key = new_id("acct"), new_id("key")
    deadline = pair.admin.ledger_now() + timedelta(seconds=60)
    for command in (
        open_account(account), issue_key(account, key, deadline), grant(account, 1000)
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
