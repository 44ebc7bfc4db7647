from statistics import median
from typing import Any


def table(result: dict[str, Any]) -> str:
    """What a person wants to see of a result."""
    return "\n".join([*(_side_by_side(result) if "many_ratio" in result else []), *_parts(result)])


def _side_by_side(result: dict[str, Any]) -> list[str]:
    return [
        "",
        _row("", "baseline", "farebox", "ratio"),
        *(_compared(result, shape, words) for shape, words in SHAPES),
        _row("one caller, p50 ms (floor)", *(result[name] for name in ONE)),
        "",
        "CPU in microseconds and WAL in bytes, per command:",
        *(line for shape, _ in SHAPES for line in _costs(result, shape)),
        "",
        f"stored per command: {result['bytes']['per_command']:.0f} bytes",
        f"with the reader beside: {result['with_reader']['per_second']:.0f} a second",
        f"void rounds: {len(result['voided'])}",
        f"modules compiled: {result['compiled_modules']}, else plain Python",
    ]


def _parts(result: dict[str, Any]) -> list[str]:
    """The figures that have no side beside them, those that were measured."""
    known = [name for name in FIGURES if name in result]
    return ["", *(f"{name:32}{result[name]:>12}" for name in known)]


FIGURES = (
    "growth_ratio", "growth_uniform_ratio", "failover_s", "replay_events_per_s",
    "replay_with_projections_per_s", "relay_events_per_s", "asyncpg_many_ratio",
    "memory_per_account_bytes", "tigerbeetle_many_ratio",
)  # fmt: skip
ONE = ("floor_p50_ms", "reserve_p50_ms", "p50_ratio")
SHAPES = (("many", "10,000 accounts, a second"), ("hot", "one hot account, a second"))


def _compared(result: dict[str, Any], shape: str, words: str) -> str:
    clients = result[f"{shape}_baseline_clients"]
    baseline = f"{result[f'{shape}_baseline_per_s']} ({clients})"
    return _row(words, baseline, result[f"{shape}_per_s"], result[f"{shape}_ratio"])


def _row(words: str, baseline: object, farebox: object, ratio: object) -> str:
    return f"{words:30}{baseline:>12}{farebox:>12}{ratio:>8}"


def _costs(result: dict[str, Any], shape: str) -> list[str]:
    lines = []
    for side in ("baseline", "farebox"):
        best = result[f"{shape}_baseline_clients"]
        rounds = [
            r for r in result["rounds"]
            if r["side"] == side and r["shape"] == shape
            and (side == "farebox" or r["callers"] == best)
        ]  # fmt: skip
        parts = [
            f"{name} {median(r['cpu_us'][name] for r in rounds):.0f}"
            for name in rounds[0]["cpu_us"]
        ]
        wal = median(r["wal_bytes"] for r in rounds)
        latencies = f"; p99 {result[f'{shape}_p99_ms']} ms" if side == "farebox" else ""
        lines.append(f"  {shape} {side}: {', '.join(parts)}; WAL {wal:.0f}{latencies}")
    return lines
