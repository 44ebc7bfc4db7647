"""A full or read-only database: Busy is told, leading is given up, and all goes on afterwards."""

import asyncio
import json
import os
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest

from libs.events import subjects
from libs.events.codec import decode_reply, encode_command
from libs.events.ids import new_id, partition_of
from services.ledger import app, reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from tests.support.database import PARTITIONS
from tests.support.deciding import grant, issue_key, open_account, reserve
from tests.support.nats import connected
from tests.support.publishing import selling
from tests.support.services import example_config, ledger_client, running
from tests.support.settings import settings_for
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("OPS-2", "RSV-3")

PATIENT_S = 20.0
TABLE = "ledger.events_0"


@pytest.fixture(scope="module")
async def ledger(database, streams, tmp_path_factory):
    """One ledger process, which has nobody to give its partitions to."""
    folder = tmp_path_factory.mktemp("ledger")
    common = {"data_dir": folder, "config": example_config(folder)}
    writing = settings_for(
        LedgerSettings, "ledger", database, process_name="ledger", step_down_s=0.2, **common
    )
    reading = settings_for(ReaderSettings, "reader", database, process_name="reader", **common)
    async with (
        running(app.serve, writing) as lifecycle,
        running(reader.serve, reading),
        ledger_client(database, "admin", "admin") as admin,
        ledger_client(database, "gateway", "use") as use,
        connected(database.stack, "gateway") as nc,
    ):
        await admin.check_installation()
        await use.check_installation()
        yield SimpleNamespace(
            admin=admin, use=use, nc=nc, database=database, lifecycle=lifecycle, folder=folder
        )


@contextmanager
def read_only(database, _folder):
    """As a standby that was promoted halfway, or an operator who stops all writing."""
    database.sql("alter system set default_transaction_read_only = on")
    database.sql("select pg_reload_conf()")
    try:
        yield
    finally:
        database.sql("alter system reset default_transaction_read_only")
        database.sql("select pg_reload_conf()")


@contextmanager
def full_disk(database, folder):
    """The log's table on a file system of 4 MB without a free byte."""
    place, stack = folder / "tiny", database.stack
    place.mkdir()
    if not _mounted(place):
        with _told_that_the_disk_is_full(database):
            yield
        return
    owner = stack.postgres.data.stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    place.chmod(0o700)
    try:
        database.sql(f"create tablespace tiny location '{place}'")
        database.sql(f"alter table {TABLE} set tablespace tiny")
        try:
            _fill(place / "filler")
            yield
        finally:
            (place / "filler").unlink()
            database.sql(f"alter table {TABLE} set tablespace pg_default")
            database.sql("drop tablespace tiny")
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _mounted(place):
    """Whether this user may mount a small file system there."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    return (
        os.geteuid() == 0 and not subprocess.run(mount, check=False, capture_output=True).returncode
    )


def _fill(path):
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


@contextmanager
def _told_that_the_disk_is_full(database):
    """Where nothing may be mounted: the same error of the same statement."""
    database.sql(
        "create function full_disk() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not extend file' using errcode = '53100'; end $$;"
        " create trigger full_disk before insert on ledger.events"
        " for each row execute function full_disk()"
    )
    try:
        yield
    finally:
        database.sql("drop function full_disk cascade")


class Account:
    def __init__(self, ledger):
        self.ledger = ledger
        self.id, self.key = new_id("acct"), new_id("key")
        self.subject = subjects.command(partition_of(self.id, PARTITIONS), "use")
        self.given = 0

    async def open(self):
        deadline = self.ledger.admin.ledger_now() + timedelta(seconds=60)
        for command in (
            selling(self.id), open_account(self.id), issue_key(self.id, self.key, deadline), grant(self.id, 10_000)
        ):  # fmt: skip
            await self.ledger.admin.send(command, give_up_s=PATIENT_S)
        return self

    def hold(self):
        return reserve(self.id, self.key, 1, self.ledger.use.ledger_now() + timedelta(minutes=5))

    async def refused_with(self):
        """Hold until the ledger says that it cannot write: a full disk has room in its pages."""
        while True:
            raw = encode_command(self.hold())
            told = decode_reply((await self.ledger.nc.request(self.subject, raw, timeout=5)).data)
            if told.reply != "Reserved":
                return told
            self.given += 1


async def problem(ledger, partition):
    """What its health says of a partition."""
    run = json.loads((ledger.folder / "run" / "ledger.json").read_text())
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{run['ports']['health']}/health/ready")
    return answer.json()["problems"].get(f"partition {partition}", "")


@pytest.mark.parametrize(
    ("trouble", "named"), [(read_only, "read-only"), (full_disk, "could not extend file")]
)
async def test_busy_is_told_and_leading_given_up_until_it_can_be_written_again(
    ledger, tmp_path, trouble, named
):
    account = await Account(ledger).open()
    partition = partition_of(account.id, PARTITIONS)
    with trouble(ledger.database, tmp_path):
        told = await account.refused_with()
        assert (told.reply, told.data["retry_after_ms"] > 0) == ("Busy", True)

        async def given_up():
            return named in await problem(ledger, partition)

        await until(given_up)
        waiting = [
            asyncio.create_task(ledger.use.send(account.hold(), give_up_s=PATIENT_S))
            for _ in range(5)
        ]
    replies = await asyncio.gather(*waiting)
    assert [reply.reply for reply in replies] == ["Reserved"] * 5

    async def well():
        return not await problem(ledger, partition)

    await until(well)
    answer = await ledger.admin.query("balance", {"account_id": account.id}, account_id=account.id)
    assert int(answer["data"]["reserved"]) == account.given + 5
    assert not ledger.lifecycle.stopping.is_set(), "the process lives; no other has to start"
