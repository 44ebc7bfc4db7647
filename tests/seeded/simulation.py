"""One seed: everything the ledger promises, under everything that can go wrong."""

import asyncio
import gc
import hashlib
import logging
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from libs.events.commands import KIND_CODES
from libs.events.fingerprints import fingerprint
from libs.events.ids import caller_bytes, stream_uuid
from libs.events.times import to_text
from services.ledger import invariants
from services.ledger.answers import Recorded, accepted
from services.ledger.columns import bare
from services.ledger.replay import CORRECTIONS
from services.ledger.snapshots import term_of
from tests.seeded.callers import Caller, World
from tests.seeded.cluster import Cluster, chaos
from tests.seeded.database import INJECTED, Chances, Database
from tests.seeded.virtual_loop import VirtualLoop, run_virtually
from tests.seeded.wire import Wire

STARTS = (
    datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
    datetime(2026, 11, 30, 23, 59, 40, tzinfo=UTC),
)
"""An ordinary noon, and the end of a day and a month."""
PATIENCE_S = 300.0
CHUNKS, SEEDS_A_CHUNK, STEPS = 40, 50, 200
"""What `make test` searches: 2,000 seeds x 200 steps, 92 s of CPU, half of it on each worker."""


@dataclass
class Outcome:
    """What a seed did, and what was found wrong with it."""

    seed: int
    steps: int
    findings: list[str] = field(default_factory=list)
    said_and_done: list[tuple[float, tuple[object, ...]]] = field(default_factory=list)
    events: int = 0
    leaders: int = 0
    said: int = 0
    types: set[str] = field(default_factory=set)

    @property
    def trace(self) -> list[str]:
        """Made when somebody reads it: of a good seed nobody does."""
        return [f"{at:10.4f} " + " ".join(map(str, what)) for at, what in self.said_and_done]

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def simulate(seed: int, steps: int, **mutations: Any) -> Outcome:
    """Run a seed. `mutations` are set on the database: the canaries."""
    outcome, loop = Outcome(seed, steps), VirtualLoop()

    def trace(*what: object) -> None:
        outcome.said_and_done.append((loop.elapsed, what))

    logging.disable(logging.CRITICAL)
    gc.disable()  # a seed lives for a moment and is small
    try:
        run_virtually(_run(outcome, loop, trace, mutations), loop)
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    return outcome


def search(chunk: int) -> None:
    """Run one chunk of the seeds. AssertionError with the trace of the first that fails."""
    for seed in range(chunk * SEEDS_A_CHUNK, (chunk + 1) * SEEDS_A_CHUNK):
        outcome = simulate(seed, STEPS)
        assert not outcome.findings, "\n".join(
            [*outcome.trace[-200:], *outcome.findings, f"make simulate SEED={seed} STEPS={STEPS}"]
        )


async def _run(outcome: Outcome, loop: VirtualLoop, trace: Any, mutations: Any) -> None:
    rng = random.Random(outcome.seed)
    start = rng.choice(STARTS)
    database = Database(random.Random(rng.getrandbits(64)))
    for name, value in mutations.items():
        setattr(database, name, value)
    wire = Wire(random.Random(rng.getrandbits(64)), loop, start, trace)
    cluster = Cluster(random.Random(rng.getrandbits(64)), loop, database, wire, start)
    world = World(random.Random(rng.getrandbits(64)), wire, outcome.steps)
    tasks = [asyncio.create_task(cluster.run()), asyncio.create_task(world.replay_journal())]
    await world.publish()
    for _ in range(rng.randrange(1, 4)):
        await world.open_customer()
    storm = asyncio.create_task(chaos(cluster, every_s=rng.uniform(2, 20)))
    callers = [Caller(world, f"caller-{n}") for n in range(rng.randrange(2, 8))]
    await asyncio.gather(*(caller.run() for caller in callers))
    storm.cancel()
    wire.lossy, database.chances = False, Chances(0, 0, 0, 0)
    await _calm(outcome, loop, world, database)
    for task in tasks:
        task.cancel()
    outcome.findings += cluster.failures
    _judge(outcome, database, wire, cluster)


async def _calm(outcome: Outcome, loop: VirtualLoop, world: World, database: Database) -> None:
    """Nothing fails any more: the journal empties, and every hold is closed in time."""
    until = loop.time() + PATIENCE_S
    while world.journal or world.replaying or database.reservations:
        if loop.time() > until:
            journal = [command.caller_id for command in world.journal]
            outcome.findings.append(f"never closed: {list(database.reservations)} {journal}")
            return
        await asyncio.sleep(0.5)


def _judge(outcome: Outcome, database: Database, wire: Wire, cluster: Cluster) -> None:
    bodies = database.bodies()
    checks = invariants.WholeLog()
    for body in bodies:
        checks.apply(body)
    findings = outcome.findings
    findings += [f"invariant: {broken}" for broken in checks.finish()]
    _compare_rows(database, checks, findings)
    _compare_lots(database, bodies, checks, findings)
    recorded = {
        body["position"]: Recorded(body["position"], body["type"], body["data"]) for body in bodies
    }
    for command, answer in wire.said:
        _compare_reply(database, recorded, command, answer, findings)
    for position, raw in cluster.published.items():
        if position not in database.events or database.events[position][3] != raw:
            findings.append(f"published at {position} is not what the log holds")
    outcome.events, outcome.leaders = len(bodies), cluster.leaders
    outcome.said = len(wire.said)
    outcome.types = {body["type"] for body in bodies}


def _compare_reply(
    database: Database, recorded: dict[int, Recorded], command: Any, answer: Any, findings: Any
) -> None:
    """What any caller was ever told is what the log holds."""
    key = (
        caller_bytes(command.caller_id).hex(), KIND_CODES[command.kind],
        stream_uuid(command.account_id).hex,
    )  # fmt: skip
    row = database.commands.get(key)
    if answer["position"] is None:
        told = answer["reply"], answer["data"].get("code") or answer["data"].get("sqlstate")
        wrong = told[0] == "Malformed" or told == ("Conflict", "fingerprint")
        if wrong or (told[0] == "RejectedByStore" and told[1] != INJECTED):
            findings.append(f"{command.kind} {command.caller_id} was told {answer}")
        return
    if row is None or row.fingerprint != fingerprint(command):
        findings.append(f"{command.kind} {command.caller_id} is not in the log: {answer}")
        return
    events = [recorded[row.position + offset] for offset in range(row.event_count)]
    first = accepted(
        command.kind, command.account_id, answer["incarnation"], events, events[-1].position
    )
    if orjson.loads(orjson.dumps(first)) != answer:
        findings.append(f"{command.kind} {command.caller_id} was told {answer}, the log {first}")


def _compare_rows(database: Database, checks: invariants.WholeLog, findings: list[str]) -> None:
    """The rows that the writer keeps are what a fold of the log gives."""
    fold = checks.fold
    for account_id, account in fold.accounts.items():
        if account.unit is None:
            continue  # the partition's own stream
        row = database.accounts.get(bare(account_id), {})
        for name in (
            "unit",
            "plan",
            "status",
            "available",
            "reserved",
            "version",
            "position",
            "head",
        ):
            if row.get(name) != getattr(account, name):
                findings.append(f"{account_id}.{name}: {row.get(name)} {getattr(account, name)}")
    holds = {
        bare(res): (bare(hold.account_id), hold.amount, hold.expires_at)
        for res, hold in fold.holds.items()
    }
    rows = {
        res: (account, amount, to_text(expires_at))
        for res, (account, _, expires_at, amount, _) in database.reservations.items()
    }
    if holds != rows:
        findings.append(f"open reservations: {rows} {holds}")
    sold = {
        name: (of.position, of.effective_from, of.withdrawn_from)
        for name, of in fold.catalogues.items()
    }
    published = {name: (row["position"], *term_of(row)) for name, row in database.published.items()}
    if sold != published:
        findings.append(f"catalogues: {published} {sold}")
    keys = {bare(no): (key["status"], key["expires_at"]) for no, key in fold.keys.items()}
    standing = {
        no: (row["status"], to_text(row["expires_at"]) if row["expires_at"] else None)
        for no, row in database.keys.items()
    }
    if keys != standing:
        findings.append(f"keys: {standing} {keys}")


def _compare_lots(
    database: Database, bodies: Any, checks: invariants.WholeLog, findings: list[str]
) -> None:
    """The cold tables too: what claims took, what was refunded, and the fees."""
    claims: dict[tuple[str, int], int] = {}
    refunds: dict[str, int] = {}
    for body in bodies:
        kind, data = body["type"], body["data"]
        if kind in ("CreditsClawedBack", "ClawbackReversed") and data["cause"] not in CORRECTIONS:
            sign = 1 if kind == "CreditsClawedBack" else -1
            lot = (bare(body["account_id"]), data["grant_no"])
            claims[lot] = claims.get(lot, 0) + sign * int(data["amount"])
        elif kind == "CreditsRefunded":
            refunds[bare(data["res"])] = refunds.get(bare(data["res"]), 0) + int(data["amount"])
    for lot, row in database.lots.items():
        if row["clawed"] != claims.get(lot, 0):
            findings.append(f"lot {lot}: {row['clawed']} clawed, the log has {claims.get(lot, 0)}")
    if refunds != {res: row[2] for res, row in database.refunds.items()}:
        findings.append(f"refunds: {database.refunds} {refunds}")
    fees: dict[str, int] = {}
    for _, account, _, _, minor, _ in database.fees:
        fees[f"acct_{account}"] = fees.get(f"acct_{account}", 0) + minor
    accrued = checks.invariants.lives.fees
    if {a: m for a, m in fees.items() if m} != {a: m for a, m in accrued.items() if m}:
        findings.append(f"fees: {fees} {accrued}")
