"""Whether a ledger with a long past is as fast as one without: two installations, in turns."""

import random
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.filling import Scale
from benchmarks.installation import Installation
from benchmarks.rounds import Ours, Round, ratios
from benchmarks.turn import Turn

ACTIVE = 10_000
SHAPES = ("empty", "filled", "uniform")


def measure(
    empty: Installation, filled: Installation, scale: Scale, turn: Turn, rounds: int
) -> dict[str, Any]:
    """The same load on `ACTIVE` accounts of an empty and of a filled ledger, and on all accounts.

    Each round on active accounts begins with a short one that does not count: the uniform rounds
    have pushed them out of the ledger's memory.
    """
    accounts = filled.folder / "accounts-all.txt"
    sides = {
        "empty": (Ours(empty, {"ledger": empty.start("ledger")}), empty.open_accounts(ACTIVE)),
        "filled": (Ours(filled, {"ledger": filled.start("ledger")}), _active(filled, accounts)),
    }
    sides["uniform"] = (sides["filled"][0], accounts)
    made: list[Round] = []
    for _ in range(rounds):
        for shape in SHAPES:
            ours, file = sides[shape]
            made.append(turn(ours, shape, file, warm=shape != "uniform"))
    rates = {s: [r.per_second for r in made if r.shape == s] for s in SHAPES}
    return {
        **ratios("growth", rates["filled"], rates["empty"]),
        **ratios("growth_uniform", rates["uniform"], rates["empty"]),
        "per_second": {shape: round(median(each)) for shape, each in rates.items()},
        "scale": {"accounts": scale.accounts, "events": scale.events, "active": ACTIVE},
        "rounds": [asdict(each) for each in made],
    }


def _active(filled: Installation, accounts: Path) -> Path:
    """The file of some accounts, chosen from all over the table."""
    lines = accounts.read_text().split("\n")
    path = filled.folder / f"accounts-{ACTIVE}.txt"
    path.write_text("\n".join(random.Random(1).sample(lines, min(ACTIVE, len(lines)))))
    return path
