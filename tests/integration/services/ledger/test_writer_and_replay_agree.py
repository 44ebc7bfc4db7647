"""What the writer keeps beside the log is what an independent fold of the log computes."""

import random
from datetime import timedelta

import pytest

from libs.events import commands as c
from libs.events.events import TYPE_NAMES
from libs.events.ids import new_id
from services.ledger.verify import verify
from tests.support.deciding import (
    attach,
    command,
    detach,
    expire,
    grant,
    issue_key,
    open_account,
    release,
    reserve,
    settle,
)
from tests.support.log_builder import account_in
from tests.support.projecting import connection_of, project
from tests.support.writing import open_bench

pytestmark = pytest.mark.requirement("AUD-6", "CRD-5")


USUAL = {
    "AccountOpened", "AccountFrozen", "AccountUnfrozen", "KeyIssued", "CreditsGranted",
    "CreditsReserved", "ReservationExtended", "CreditsCharged", "CreditsReleased", "ReservationExpired", "CreditsExpired",
    "CallAttached", "CallDetached",
}  # fmt: skip


@pytest.fixture
async def bench(database):
    async with connection_of(database, "owner") as owner:
        await owner.execute(
            "insert into ledger.installation (partitions) values (3) on conflict do nothing"
        )
    made = await open_bench(database.dsn("ledger"))
    yield made
    await made.close()


async def verified(database):
    await project(database)
    async with connection_of(database, "auditor") as auditor:
        return await verify(auditor, lambda _line: None)


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_life_verifies(bench, database, seed):
    chance = random.Random(seed)
    accounts = {account_in(0): new_id("key") for _ in range(3)}
    for account, key in accounts.items():
        await bench.run(open_account(account, initial=chance.choice([None, 500])))
        service = issue_key(account, key, bench.at, purpose="service")
        await bench.run(service, grant(account, 10_000))
    held: dict[str, str] = {}
    gone: dict[str, str] = {}
    for _ in range(60):
        bench.clock.advance(chance.choice([0.0, 0.5, 40.0]))
        batch = [step(chance, bench, accounts, held, gone) for _ in range(chance.randint(1, 6))]
        await bench.run(*batch)
    report = await verified(database)
    assert report.differences == []


async def test_the_lives_together_write_every_usual_event(bench):
    types = await bench.connection.fetch("select distinct type from ledger.events")
    assert {TYPE_NAMES[row["type"]] for row in types} >= USUAL


def step(chance, bench, accounts, held, gone):
    account = chance.choice(list(accounts))
    mine = [res for res, owner in held.items() if owner == account]
    kind = chance.choice(
        ["reserve"] * 5
        + ["settle"] * 4
        + [
            "attach",
            "attach",
            "detach",
            "detach",
            "extend",
            "extend",
            "release",
            "expire",
            "late",
            "grant",
            "freeze",
            "key",
        ]
    )
    if kind == "settle" and mine:
        res = chance.choice(mine)
        del held[res]
        return settle(account, res, chance.randint(0, 900), margin=chance.randint(-9, 9))
    if kind in ("attach", "detach") and mine:
        return call(chance, bench, account, mine[-1], kind)
    if kind == "extend" and mine:
        res = chance.choice(mine)
        return extend(chance, bench, account, res)
    if kind == "release" and mine:
        res = chance.choice(mine)
        del held[res]
        return release(account, res)
    if kind == "expire" and mine:
        res = chance.choice(mine)
        gone[res] = held.pop(res)
        return expire(account, res)
    if kind == "late" and gone:
        res, owner = gone.popitem()
        return settle(owner, res, chance.randint(1, 500))
    if kind == "grant":
        expires_at = chance.choice([None, bench.at + timedelta(seconds=90)])
        return grant(account, chance.randint(1, 3000), expires_at=expires_at)
    if kind == "freeze":
        freeze = chance.choice([c.FreezeAccount, c.UnfreezeAccount])
        return command(freeze, account, {"reason": "manual"}, caller_id=new_id("note"))
    if kind == "key":
        return issue_key(account, new_id("key"), bench.at, allowed=["swift-1"])
    res = new_id("req")
    held[res] = account
    amount = chance.randint(1, 800)
    deadline = bench.at + timedelta(seconds=5)
    given = {
        "hold_ms": 30_000,
        "at_deadline": chance.choice(["release", "charge"]),
        "attached_cost_ceiling": chance.choice([None, 800, 800]),
        "fee": chance.choice([None, {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}]),
    }
    return reserve(account, accounts[account], amount, deadline, res=res, **given)


def extend(chance, bench, account, res):
    data = {"res": res, "total": 1000, "hold_ms": 50_000, "used_so_far": chance.randint(0, 90)}
    n = chance.randint(0, 10**9)
    deadline = bench.at + timedelta(seconds=5)
    return command(c.Extend, account, data, caller_id=f"extend:{res}:{n}", deadline=deadline)


def call(chance, bench, account, res, kind):
    name, nanos = f"{res}-1", chance.randint(0, 900)
    if kind == "detach":
        return detach(account, res, name, nanos)
    return attach(account, res, name, nanos, bench.at, hold_ms=1000)


async def test_keys_rotated_and_revoked_verify(bench, database):
    account, key, second = account_in(0), new_id("key"), new_id("key")
    await bench.run(open_account(account), issue_key(account, key, bench.at))
    await bench.run(
        issue_key(account, second, bench.at, rotates=key, overlap_ms=60_000, allowed=[])
    )
    data = {"key_id": second, "reason_code": "lost"}
    await bench.run(command(c.RevokeKey, account, data, caller_id=f"revoke:{second}"))
    report = await verified(database)
    assert report.differences == []
