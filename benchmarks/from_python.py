"""The baseline called from Python through asyncpg, in turns with the same load on the ledger."""

from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.baseline import Baseline
from benchmarks.installation import Installation
from benchmarks.rounds import Ours, Round, Void, of_reports, ratios, run_load
from benchmarks.turn import Turn
from benchmarks.usage import Meter

TASKS = (16, 64)
ACCOUNTS = 10_000


def measure(installation: Installation, turn: Turn, rounds: int) -> dict[str, Any]:
    """Our rate on many accounts over the better of `TASKS` of asyncpg."""
    ours = Ours(installation, {"ledger": installation.start("ledger")})
    accounts = installation.open_accounts(ACCOUNTS)
    Baseline(installation).install()
    made: list[Round] = []
    for _ in range(rounds):
        made += [
            turn.of(
                f"asyncpg with {tasks} tasks",
                lambda n=tasks: _round(installation, n, turn.processes, turn.seconds),
            )
            for tasks in TASKS
        ]
        made.append(turn(ours, "many", accounts))
    asyncpg = {
        tasks: [r.per_second for r in made if (r.side, r.callers) == ("asyncpg", tasks)]
        for tasks in TASKS
    }
    many = [r.per_second for r in made if r.side == "farebox"]
    best = [max(of_round) for of_round in zip(*asyncpg.values(), strict=True)]
    return {
        **ratios("asyncpg_many", many, best),
        "asyncpg_per_s": {tasks: round(median(rates)) for tasks, rates in asyncpg.items()},
        "many_per_s": round(median(many)),
        "rounds": [asdict(each) for each in made],
    }


def _round(installation: Installation, tasks: int, processes: int, seconds: float) -> Round:
    """Raises Void when a call reserved nothing or is not in the table."""
    installation.checkpoint()
    baseline, meter = Baseline(installation), Meter({"postgres": installation.stack.postgres.pid})
    before, wal = baseline.entries(), installation.wal()
    meter.start()
    reports = run_load(
        ["benchmarks.asyncpg_load", "--tasks", str(tasks // processes), "--seconds", str(seconds)],
        processes,
        {"BASELINE_DSN": installation.dsn("postgres", "baseline")},
    )
    count = sum(report["count"] for report in reports)
    cpu = {"load": sum(report["cpu_s"] for report in reports), **meter.used()}
    wal = installation.wal() - wal
    if baseline.entries() - before != count:
        raise Void(f"{count} calls, {baseline.entries() - before} in the table")
    return of_reports(
        reports,
        side="asyncpg",
        callers=tasks,
        cpu_us={name: used / count * 1e6 for name, used in cpu.items()},
        wal_bytes=wal / count,
    )
