"""How parts of the benchmark are chosen, and how their figures come together in one file."""

import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import parts
from benchmarks.filling import Scale
from benchmarks.ledger import chosen, costs, merged, said, summary
from benchmarks.rounds import Round


def test_a_part_is_merged_and_the_rest_stays(tmp_path):
    path = tmp_path / "ledger.json"
    merged(path, {"many_ratio": 1.1, "rounds": [1]}, None)
    merged(path, {"relay_events_per_s": 1}, ("relay", {"date": "2026-11-29"}))
    merged(path, {"relay_events_per_s": 2}, ("relay", {"date": "2026-11-30"}))
    merged(path, {"growth_ratio": 0.9}, ("growth", {}))
    result = json.loads(path.read_text())
    assert (result["many_ratio"], result["rounds"], result["growth_ratio"]) == (1.1, [1], 0.9)
    assert result["relay_events_per_s"] == 2
    assert result["parts"]["relay"]["date"] == "2026-11-30"
    assert result["parts"]["relay"]["command"].startswith("python -m benchmarks.ledger")


def test_a_command_is_told_without_the_folders_of_this_machine():
    words = ["--only", "growth", "--folder", "/here", "--seconds", "5", "--output", "/there"]
    assert said(words) == "python -m benchmarks.ledger --only growth --seconds 5"


def test_parts_are_chosen_by_name():
    assert chosen("relay,growth") == ["relay", "growth"]
    assert {"side_by_side", "relay", "replay", "growth", "failover"} <= {*chosen(None)}
    with pytest.raises(SystemExit, match="no part latency: choose of side_by_side,"):
        chosen("latency")


def test_costs_are_those_of_the_fastest_number_of_clients():
    def a_round(side, callers, rate, cpu):
        shared = {"side": side, "callers": callers, "per_second": rate, "wal_bytes": cpu * 10}
        return [
            {**shared, "shape": shape, "cpu_us": {"postgres": cpu}} for shape in ("many", "hot")
        ]

    rounds = [
        *a_round("baseline", 1, 10, 5), *a_round("baseline", 16, 90, 7),
        *a_round("baseline", 16, 80, 9), *a_round("farebox", 256, 50, 3),
    ]  # fmt: skip
    figures = costs(rounds, {"per_command": 1700.4})
    assert figures["bytes_per_command"] == 1700
    assert figures["cpu_many_baseline_us"] == {"postgres": 8}
    assert figures["cpu_hot_farebox_us"] == {"postgres": 3}
    assert figures["wal_bytes_per_command_many_baseline"] == 80


def test_each_round_is_compared_with_the_best_baseline_of_the_same_round():
    def a_round(side, shape, callers, rate):
        return Round(side, shape, callers, 1, rate, {}, 0.0, p50_ms=2.0, p99_ms=3.0)

    speeds = (1.0, 0.5, 1.0)  # the machine is slow in the second round
    made = [
        a_round(side, shape, callers, rate * speed)
        for speed in speeds
        for shape in ("many", "hot")
        for side, callers, rate in (
            ("baseline", 1, 10), ("baseline", 16, 80), ("baseline", 64, 100 * speed),
            ("farebox", 256, 120),
        )
    ] + [a_round("farebox", "one", 1, 9)] * 3  # fmt: skip
    figures = summary(made, [{"echo_p50_ms": 0.5, "commit_p50_ms": 0.3 + n} for n in range(3)])
    assert figures["many_ratios"] == [1.2, 1.5, 1.2]
    assert figures["many_ratio"] == figures["hot_ratio"] == 1.2
    assert (figures["many_baseline_clients"], figures["many_baseline_per_s"]) == (64, 100)
    assert figures["p50_ratios"] == [2.5, 1.11, 0.71]
    assert figures["p50_ratio"] == 1.11


def test_failover_is_plugged_in_when_it_is_there(monkeypatch):
    said_of_it = []
    workshop = SimpleNamespace(options=SimpleNamespace(say=said_of_it.append))
    monkeypatch.setitem(
        sys.modules, "benchmarks.failover", SimpleNamespace(measure=lambda: {"failover_s": 1.5})
    )
    assert parts.failover(workshop)["failover_s"] == 1.5
    monkeypatch.setitem(sys.modules, "benchmarks.failover", None)
    assert parts.failover(workshop) is None
    assert "no failover_s" in said_of_it[0]


def test_scale_is_the_nearest_that_whole_accounts_have():
    assert Scale.of(1_000_000, 5_000_000) == Scale(1_000_000, 1)
    assert Scale.of(1_000_000, 5_000_000).events == 5_000_000
    assert Scale.of(40_000, 200_000).events == 200_000
    assert Scale.of(1000, 10).events == 3000
