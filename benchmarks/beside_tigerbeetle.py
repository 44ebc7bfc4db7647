"""The same load on a TigerBeetle server that a user names and on the ledger, in turns."""

from dataclasses import asdict
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.installation import Installation
from benchmarks.rounds import Ours, Round, of_reports, ratios, run_load
from benchmarks.tigerbeetle_load import client_module
from benchmarks.turn import Turn

TASKS = 64
ACCOUNTS = 10_000


def measure(installation: Installation, address: str, turn: Turn, rounds: int) -> dict[str, Any]:
    """Our rate with `TASKS` callers over theirs: one reservation a call on both sides."""
    client_module()
    ours = Ours(installation, {"ledger": installation.start("ledger")})
    accounts = installation.open_accounts(ACCOUNTS)
    made: list[Round] = []
    for _ in range(rounds):
        made.append(turn.of("tigerbeetle", lambda: _round(address, turn.seconds)))
        made.append(turn(ours, "many", accounts))
    rates = {s: [r.per_second for r in made if r.side == s] for s in ("tigerbeetle", "farebox")}
    return {
        **ratios("tigerbeetle_many", rates["farebox"], rates["tigerbeetle"]),
        "per_second": {side: round(median(each)) for side, each in rates.items()},
        "client": version("tigerbeetle"),
        "rounds": [asdict(each) for each in made],
    }


def _round(address: str, seconds: float) -> Round:
    """Raises Void when a transfer was refused, or is not among those the server holds."""
    command = ["benchmarks.tigerbeetle_load", "--address", address, "--tasks", str(TASKS)]
    reports = run_load([*command, "--seconds", str(seconds)], 1, {})
    load = reports[0]["cpu_s"] / reports[0]["count"] * 1e6
    return of_reports(
        reports, side="tigerbeetle", callers=TASKS, cpu_us={"load": load}, wal_bytes=0
    )
