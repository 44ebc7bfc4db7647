"""`farebox bench ledger` beside real customers: it measures, and leaves what it says it leaves."""

import asyncio
import json
import os
import re
import signal
import sys

from libs.events.ids import account_for_external_id
from tests.support.process import ROOT
from tests.support.projecting import connection_of

DOLLAR = 10**9
A_SECOND = re.compile(rb"^ +[1-9][0-9]* s ", re.MULTILINE)
"""A line of progress: the first is of the second second where the first took too long."""
OF_BENCH = """
select e.type, c.status, c.reserved, c.available, count(*) over () as events
from ledger.events e join ledger.accounts c using (account_id)
where c.plan = 'bench' and c.account_id = any($1::uuid[])
"""


async def bench(farebox, *words):
    stack = farebox.database.stack
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FAREBOX_")}
    for user in ("gateway", "admin"):
        environment[f"FAREBOX_NATS_{user.upper()}_PASSWORD"] = stack.nats_password(user)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "farebox.main", "bench", "ledger",
        "--nats-url", stack.nats.url, "--callers", "8", "--accounts", "6", "--json", *words,
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def rows_of(farebox, left):
    names = [f"bench-{left['run']}-{number}" for number in range(1, left["accounts"] + 1)]
    ids = [account_for_external_id(name).removeprefix("acct_") for name in names]
    async with connection_of(farebox.database, "auditor") as connection:
        return await connection.fetch(OF_BENCH, ids)


async def test_it_measures_and_leaves_only_closed_accounts_of_its_own(farebox):
    customer = await farebox.customer(DOLLAR)
    before = await farebox.events(customer.account)
    process = await bench(farebox, "--seconds", "1")
    out, progress = await process.communicate()
    assert process.returncode == 0, progress.decode()
    told = json.loads(out)
    left = told["left_behind"]
    assert A_SECOND.search(progress)
    assert told["commands"] == 2 * told["reserved"] > 0
    assert sum(told["histogram_ms"].values()) == told["commands"]
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]
    assert told["latency_ms"]["p99"] <= told["latency_ms"]["longest"]
    rows = await rows_of(farebox, left)
    assert len(rows) == left["events"]
    assert {(row["status"], row["available"], row["reserved"]) for row in rows} == {
        ("closed", 0, 0)
    }
    assert await farebox.events(customer.account) == before
    async with connection_of(farebox.database, "auditor") as connection:
        strangers = await connection.fetchval(
            "select count(*) from ledger.accounts where plan = 'bench'"
        )
    assert strangers == left["accounts"] == 6


async def test_an_interrupt_ends_the_load_and_still_closes_the_accounts(farebox):
    process = await bench(farebox, "--seconds", "600")
    lines = []
    while not (lines and A_SECOND.search(lines[-1])):
        lines.append(await process.stderr.readline())
        assert lines[-1], b"".join(lines)
    process.send_signal(signal.SIGINT)
    out, rest = await process.communicate()
    assert process.returncode == 0, rest.decode()
    told = json.loads(out)
    rows = await rows_of(farebox, told["left_behind"])
    assert len(rows) == told["left_behind"]["events"]
    assert {(row["status"], row["reserved"]) for row in rows} == {("closed", 0)}


async def test_without_a_ledger_it_says_so_and_ends_with_status_1(farebox):
    await farebox.kill("ledger")
    process = await bench(farebox, "--seconds", "1")
    out, error = await process.communicate()
    await farebox.start("ledger")
    assert process.returncode == 1
    assert out == b""
    assert b"nobody answers on ledger.commands." in error
    assert b"may be left open" in error
