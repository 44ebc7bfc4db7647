"""The ledger process on real servers, asked over NATS as its callers ask."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from libs.events import subjects
from libs.events.ids import new_id, partition_of
from libs.runtime.errors import PermissionDenied
from services.ledger import app, reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from tests.support.database import PARTITIONS, Database
from tests.support.deciding import grant, issue_key, open_account, release, reserve, settle
from tests.support.nats import connected
from tests.support.publishing import selling
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.waiting import until


@pytest.fixture(scope="module")
async def ledger(database: Database, streams: Any, tmp_path_factory: Any) -> AsyncIterator[Any]:
    folder = tmp_path_factory.mktemp("ledger")
    config = example_config(folder)
    common = {"data_dir": folder, "config": config}
    writing = settings_for(LedgerSettings, "ledger", database, process_name="ledger", **common)
    reading = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
    async with (
        running(app.serve, writing),
        running(reader.serve, reading),
        ledger_client(database, "admin", "admin") as admin,
        ledger_client(database, "gateway", "use") as use,
    ):
        await admin.check_installation()
        await use.check_installation()
        yield SimpleNamespace(admin=admin, use=use, database=database)


async def rich(ledger: Any, amount: int = 1000) -> tuple[str, str]:
    account, key = new_id("acct"), new_id("key")
    deadline = ledger.admin.ledger_now() + timedelta(seconds=5)
    for command in (
        selling(account), open_account(account), issue_key(account, key, deadline), grant(account, amount)
    ):  # fmt: skip
        reply = await ledger.admin.send(command, give_up_s=20)
        assert reply.reply in {"Published", "Opened", "Issued", "Granted"}, reply
    return account, key


def hold(ledger: Any, account: str, key: str, amount: int, **data: Any) -> Any:
    return reserve(account, key, amount, ledger.use.ledger_now() + timedelta(seconds=5), **data)


@pytest.mark.requirement("RSV-1", "ACC-1")
async def test_a_hold_is_settled_and_read_back(ledger):
    account, key = await rich(ledger)
    res = new_id("req")
    reserved = await ledger.use.send(hold(ledger, account, key, 600, res=res), give_up_s=20)
    assert reserved.reply == "Reserved"
    settled = await ledger.use.send(settle(account, res, 100), give_up_s=20)
    answer = await ledger.use.query(
        "balance", {"account_id": account, "min_position": settled.position}, account_id=account
    )
    assert {name: answer["data"][name] for name in ("available", "reserved", "total")} == {
        "available": "900", "reserved": "0", "total": "900",
    }  # fmt: skip


@pytest.mark.requirement("RSV-3", "CRD-5")
async def test_fifty_concurrent_holds_on_one_credit_admit_one(ledger):
    account, key = await rich(ledger, amount=1)
    commands = [hold(ledger, account, key, 1) for _ in range(50)]
    replies = await asyncio.gather(*(ledger.use.send(c, give_up_s=20) for c in commands))
    assert sorted(reply.reply for reply in replies) == ["Declined"] * 49 + ["Reserved"]


async def test_the_stream_is_a_copy_with_sequence_equal_to_position(ledger):
    account, key = await rich(ledger)
    reply = await ledger.use.send(hold(ledger, account, key, 5), give_up_s=20)
    partition = partition_of(account, PARTITIONS)
    async with connected(ledger.database.stack, "provision") as nc:
        js = nc.jetstream()

        async def relayed() -> bool:
            return (await js.stream_info(f"LEDGER_{partition}")).state.last_seq >= reply.position

        await until(relayed)
        message = await js.get_msg(f"LEDGER_{partition}", seq=reply.position)
    raw = ledger.database.sql(
        "select encode(body, 'escape') from ledger.events "
        f"where partition = {partition} and position = {reply.position}"
    )
    assert message.data.decode() in raw
    assert message.subject == f"ledger.events.{partition}.CreditsReserved"


@pytest.mark.requirement("CRD-2")
async def test_gateways_nats_user_cannot_grant(ledger):
    async with ledger_client(ledger.database, "gateway", "admin") as thief:
        with pytest.raises(PermissionDenied):
            await thief.send(grant(new_id("acct"), 10**12), give_up_s=20)


async def test_a_command_of_another_class_is_refused_by_the_ledger_itself(ledger):
    """A forged reply subject can make the server deliver bytes on a subject of another class."""
    account, _ = await rich(ledger)
    from libs.events.codec import decode_reply, encode_command

    partition = partition_of(account, PARTITIONS)
    async with connected(ledger.database.stack, "gateway") as nc:
        raw = encode_command(grant(account, 10**12))
        message = await nc.request(subjects.command(partition, "use"), raw, timeout=20)
    reply = decode_reply(message.data)
    assert (reply.reply, "may not be sent" in reply.data["error"]) == ("Malformed", True)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"kind":"Reserve"}', b"\x00" * 100, b"x" * 20_000]
)
async def test_malformed_bytes_are_answered_and_quarantined(ledger, raw):
    from libs.events.codec import decode_reply

    async with connected(ledger.database.stack, "provision") as watch:

        async def kept() -> int:
            return (await watch.jetstream().stream_info("QUARANTINE")).state.messages

        before = await kept()
        async with connected(ledger.database.stack, "gateway") as nc:
            message = await nc.request("ledger.commands.0.use", raw, timeout=20)
        assert decode_reply(message.data).reply == "Malformed"

        async def one_more() -> bool:
            return await kept() > before

        await until(one_more)


async def test_statement_and_receipt_follow_the_reply(ledger):
    account, key = await rich(ledger)
    res = new_id("req")
    await ledger.use.send(hold(ledger, account, key, 600, res=res), give_up_s=20)
    await ledger.use.send(settle(account, res, 100), give_up_s=20)
    entries = await ledger.use.query(
        "entries", {"account_id": account, "limit": 100}, account_id=account
    )
    amounts = [int(entry["amount"]) for entry in entries["data"]["entries"]]
    assert sum(amounts) == 900
    receipt = await ledger.use.query(
        "request", {"account_id": account, "res": res}, account_id=account
    )
    assert (receipt["data"]["state"], receipt["data"]["charge"]) == ("settled", "100")


async def test_released_after_give_up_leaves_nothing_held(ledger):
    account, key = await rich(ledger)
    res = new_id("req")
    await ledger.use.send(hold(ledger, account, key, 600, res=res), give_up_s=20)
    reply = await ledger.use.send(release(account, res), give_up_s=20)
    assert (reply.reply, reply.data["available"]) == ("Released", "1000")
