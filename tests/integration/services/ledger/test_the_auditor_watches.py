"""The self-audit is ready while the ledger is what its log says, and tells what is not."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

import httpx
import pytest

from services.ledger import auditor
from services.ledger.invariants import INVARIANTS
from services.ledger.settings import AuditorSettings
from tests.support.log_builder import LogBuilder
from tests.support.projecting import connection_of, project
from tests.support.services import running
from tests.support.settings import settings_for
from tests.support.waiting import until

pytestmark = pytest.mark.requirement("AUD-6")

FAST = {"check_s": 0.02, "verify_s": 0.02, "overdue_after_s": 10**9}


@pytest.fixture(scope="module")
async def story(database):
    builder = LogBuilder()
    builder.name = builder.account()
    key = builder.key(builder.name)
    builder.grant(builder.name, 10_000)
    builder.settle(builder.reserve(builder.name, key, 4000), 1500)
    builder.open = builder.reserve(builder.name, key, 700)
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    async with connection_of(database, "ledger") as ledger:
        await builder.write(ledger)
    await project(database)
    return builder


class Watched:
    """What the process says of itself."""

    def __init__(self, client, port):
        self._client = client
        self._url = f"http://127.0.0.1:{port}"

    async def problems(self):
        return (await self._client.get(f"{self._url}/health/ready")).json()["problems"]

    async def metrics(self):
        lines = (await self._client.get(f"{self._url}/metrics")).text.splitlines()
        named = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removeprefix("farebox_audit_"): value for name, value in named}


@asynccontextmanager
async def watching(database, folder, **given):
    settings = settings_for(
        AuditorSettings, "auditor", database, process_name="auditor", data_dir=folder,
        **(FAST | given),
    )  # fmt: skip
    async with running(auditor.serve, settings), httpx.AsyncClient() as client:
        port = json.loads((folder / "run" / "auditor.json").read_text())["ports"]["health"]
        yield Watched(client, port)


@asynccontextmanager
async def tampered(database, change, back):
    database.sql(f"set session_replication_role = replica; {change}")
    try:
        yield
    finally:
        database.sql(f"set session_replication_role = replica; {back}")


async def test_a_sound_ledger_is_verified_again_and_again(database, story, tmp_path):
    async with watching(database, tmp_path) as watched:
        before = int((await watched.metrics())["verifications_total"])

        async def again():
            return int((await watched.metrics())["verifications_total"]) > before + 2

        await until(again)
        told = await watched.metrics()
        assert await watched.problems() == {}
    assert (told["differences"], told["verified_events"]) == ("0", "6")
    assert (told["overdue_reservations"], told["unbalanced_accounts"]) == ("0", "0")
    assert told['projection_lag{projection="entries"}'] == "0"
    assert float(told["verified_at_seconds"]) > 1.7e9


BODY = """update ledger.events set body = convert_to(
replace(convert_from(body, 'UTF8'), '"{}":"{}"', '"{}":"{}"'), 'UTF8') where position = 3"""
TAMPERED = {
    "projections_equal_replay": (
        "update ledger.entries set amount = amount + 1",
        "update ledger.entries set amount = amount - 1",
        "verification", "ledger.entries",
    ),
    "tables_equal_log": (
        "update ledger.accounts set reserved = reserved + 1",
        "update ledger.accounts set reserved = reserved - 1",
        "quick checks", "1 unbalanced accounts",
    ),
    "log_intact": (
        BODY.format("amount", 10000, "amount", 1), BODY.format("amount", 1, "amount", 10000), "verification", "ledger.events 0:3 hash",
    ),
    "conservation": (
        BODY.format("amount", 10000, "amount", 1), BODY.format("amount", 1, "amount", 10000), "verification", "ledger.events 0:3",
    ),
    "fees": (
        "insert into ledger.fee_entries values (0, 5, gen_random_uuid(), gen_random_uuid(), 'USD', 1, '')",
        "delete from ledger.fee_entries",
        "verification", "ledger.fee_entries 0:5",
    ),
    "no_negative": (
        BODY.format("available", 10000, "available", -1),
        BODY.format("available", -1, "available", 10000),
        "verification", "ledger.events 0:3",
    ),
    "no_overdue_reservation": (
        "update ledger.reservations set expires_at = expires_at - interval '40 years'",
        "update ledger.reservations set expires_at = expires_at + interval '40 years'",
        "quick checks", "1 overdue reservations",
    ),
}  # fmt: skip
"""A row changed behind the ledger's back, and changed back; who finds it, and how it is said."""


@pytest.mark.parametrize("invariant", TAMPERED)
async def test_an_invariant_that_does_not_hold_is_told_until_it_holds(
    database, story, tmp_path, caplog, invariant
):
    change, back, check, said = TAMPERED[invariant]
    held = f'invariant{{invariant="{invariant}"}}'
    many = f'invariant_differences{{invariant="{invariant}"}}'
    async with watching(database, tmp_path) as watched:

        async def told():
            metrics = await watched.metrics()
            return metrics.get(held) == "0" and said in (await watched.problems()).get(check, "")

        async def well():
            return await watched.problems() == {} and (await watched.metrics())[held] == "1"

        await until(well)
        async with tampered(database, change, back):
            await until(told)
            assert int((await watched.metrics())[many]) >= 1
            assert f"{invariant} does not hold: ledger." in caplog.text
        await until(well)
        assert (await watched.metrics())[many] == "0"


async def test_every_invariant_is_exported_once_it_was_checked(database, story, tmp_path):
    async with watching(database, tmp_path) as watched:

        async def exported():
            metrics = await watched.metrics()
            return all(metrics.get(f'invariant{{invariant="{n}"}}') == "1" for n in INVARIANTS)

        await until(exported)
        metrics = await watched.metrics()
        assert metrics['verified_position{partition="0"}'] == "6"
        assert float(metrics["checked_at_seconds"]) > 1.7e9


async def test_an_overdue_reservation_is_named(database, story, tmp_path, caplog):
    move = "update ledger.reservations set expires_at = expires_at {} interval '40 years'"
    async with (
        watching(database, tmp_path) as watched,
        tampered(database, move.format("-"), move.format("+")),
    ):

        async def told():
            return (await watched.problems()).get("quick checks") == "1 overdue reservations"

        await until(told)
        assert (await watched.metrics())["overdue_reservations"] == "1"
        assert story.open in caplog.text


async def test_a_database_that_is_away_is_a_problem_and_not_the_end(database, story, tmp_path):
    refuse = "alter role farebox_auditor {}login"
    async with watching(database, tmp_path) as watched:
        before = int((await watched.metrics())["failures_total"])

        async def away():
            problems = await watched.problems()
            return all("not done" in problems.get(n, "") for n in ("quick checks", "verification"))

        async def well():
            return await watched.problems() == {}

        async with tampered(database, refuse.format("no"), refuse.format("")):
            await until(away)
            assert int((await watched.metrics())["failures_total"]) > before
        await until(well)


async def test_it_runs_as_a_process_of_its_own(database, story, tmp_path):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FAREBOX_")}
    own = database.env_for("auditor") | {"FAREBOX_DATA_DIR": str(tmp_path)}
    own["FAREBOX_OVERDUE_AFTER_S"] = str(FAST["overdue_after_s"])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farebox.main", "serve", "auditor"), env=clean | own,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    run_file = tmp_path / "run" / "auditor.json"

    async def ready():
        if not run_file.exists():
            return False
        port = json.loads(run_file.read_text())["ports"]["health"]
        async with httpx.AsyncClient() as client:
            watched = Watched(client, port)
            told = await watched.metrics()
            return await watched.problems() == {} and told["verified_events"] == "6"

    try:
        await until(ready, patience_s=30)
    finally:
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "6 events verified in" in said.decode()
