"""The ledger side by side with SQL a user would write: `python -m benchmarks.ledger`.

Rules: load comes from separate processes over NATS, one reservation a message; a command counts
when it was answered Reserved and is in the log; a declined or failed one voids its round; the
relay runs and must have caught up within 5 s; sides alternate, and the median of the rounds' own
ratios counts; both sides use the same server with the same settings, read back from sessions of
their roles.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.baseline import CLIENTS, Baseline
from benchmarks.filling import Scale
from benchmarks.installation import ROOT, Installation, installed
from benchmarks.parts import CALLERS, PARTS, PROCESSES, Options, run
from benchmarks.report import table
from benchmarks.rounds import Ours, Round, Void, added, ratios
from benchmarks.surroundings import environment

ACCOUNTS = 10_000
REPEATS = 2
RESULT = Path(__file__).parent / "results" / "ledger.json"
FIRST = "side_by_side"


class Bench:
    def __init__(self, installation: Installation, rounds: int, seconds: float) -> None:
        self.installation = installation
        self.rounds = rounds
        self.seconds = seconds
        self.made: list[Round] = []
        self.voided: list[dict[str, str]] = []
        self.floors: list[dict[str, float]] = []
        self.baseline = Baseline(installation)
        self.ours = Ours(installation, {"ledger": installation.start("ledger")})
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def run(self) -> None:
        self.say(f"opening {ACCOUNTS} accounts")
        many = self.installation.open_accounts(ACCOUNTS)
        hot = self.installation.open_accounts(1)
        self.baseline.install()
        for number in range(self.rounds):
            self.say(f"round {number + 1} of {self.rounds}")
            for shape, accounts in (("many", many), ("hot", hot)):
                for clients in CLIENTS:
                    self._round(lambda s=shape, c=clients: self.baseline.round(s, c, self.seconds))
                self._round(
                    lambda s=shape, a=accounts: self.ours.round(
                        s, a, CALLERS, PROCESSES, self.seconds
                    )
                )
            self._floor()
            self._round(lambda: self.ours.round("one", many, 1, 1, self.seconds))

    def _round(self, attempt: Callable[[], Round]) -> None:
        for _ in range(1 + REPEATS):
            try:
                made = attempt()
            except Void as void:
                self.voided.append({"why": str(void)})
                self.say(f"void: {void}")
                continue
            self.made.append(made)
            p99 = f", p99 {made.p99_ms:.2f} ms" if made.p99_ms else ""
            self.say(
                f"{made.side} {made.shape} with {made.callers}: {made.per_second:.0f} a second{p99}"
            )
            return
        raise SystemExit("a round was void three times: no result")

    def _floor(self) -> None:
        stack = self.installation.stack
        environment = {
            **os.environ,
            "READER_PASSWORD": stack.nats_password("reader"),
            "GATEWAY_PASSWORD": stack.nats_password("gateway"),
            "FLOOR_DSN": self.installation.dsn("postgres", "baseline"),
        }
        command = [sys.executable, "-m", "benchmarks.floor"]
        url = ["--url", stack.nats.url]
        echo = subprocess.Popen(
            [*command, "echo", *url], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            if echo.stdout is None or echo.stdout.readline() != "ready\n":
                raise SystemExit("the echo did not start")
            self.installation.checkpoint()
            done = subprocess.run(
                [*command, "measure", *url, "--seconds", str(self.seconds / 2)],
                cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
        finally:
            echo.terminate()
            echo.wait(10)
        self.floors.append(json.loads(done.stdout))
        self.say(f"floor: {self.floors[-1]}")

    def with_reader(self) -> dict[str, float]:
        """The same load while the reader applies every event to its projections."""
        self.say("with the reader process running beside, as information")
        pid = self.installation.start("reader")
        ours = Ours(self.installation, {"ledger": self.installation.pid("ledger"), "reader": pid})
        accounts = self.installation.folder / f"accounts-{ACCOUNTS}.txt"
        made = ours.round("many", accounts, CALLERS, PROCESSES, self.seconds)
        self.say(f"with the reader: {made.per_second:.0f} a second")
        behind = self.installation.behind()
        return {**asdict(made), "projection_events_behind": behind}


def summary(made: list[Round], floors: list[dict[str, float]]) -> dict[str, Any]:
    """The figures: medians over the rounds of one kind; ratios are medians of the rounds' own."""

    def rates(side: str, shape: str, callers: int) -> list[float]:
        return [
            r.per_second for r in made if (r.side, r.shape, r.callers) == (side, shape, callers)
        ]

    figures: dict[str, Any] = {}
    for shape in ("many", "hot"):
        baseline = {clients: rates("baseline", shape, clients) for clients in CLIENTS}
        best = max(CLIENTS, key=lambda clients: median(baseline[clients]))
        figures[f"{shape}_baseline_clients"] = best
        figures[f"{shape}_baseline_per_s"] = round(median(baseline[best]))
        figures[f"{shape}_per_s"] = round(median(rates("farebox", shape, CALLERS)))
        bests = [max(of_round) for of_round in zip(*baseline.values(), strict=True)]
        figures |= ratios(shape, rates("farebox", shape, CALLERS), bests)
        ours = [r for r in made if (r.side, r.shape) == ("farebox", shape)]
        figures[f"{shape}_p50_ms"] = round(median(r.p50_ms or 0 for r in ours), 2)
        figures[f"{shape}_p99_ms"] = round(median(r.p99_ms or 0 for r in ours), 2)
        figures[f"{shape}_histogram_ms"] = added(r.histogram_ms for r in ours)
    one = [r.p50_ms or 0 for r in made if r.shape == "one"]
    least = [f["echo_p50_ms"] + f["commit_p50_ms"] for f in floors]
    figures["reserve_p50_ms"] = round(median(one), 3)
    figures["floor_p50_ms"] = round(median(least), 3)
    return figures | ratios("p50", one, least)


def side_by_side(rounds: int, seconds: float) -> dict[str, Any]:
    """Many accounts, one hot account and one caller, beside plain SQL and beside the floor."""
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as installation:
        bench = Bench(installation, rounds, seconds)
        bench.run()
        stored, made = installation.bytes_stored(), [asdict(each) for each in bench.made]
        return {
            **summary(bench.made, bench.floors),
            **costs(made, stored),
            **environment(installation, baseline=True),
            "compiled_modules": installation.metric("ledger", "compiled_modules"),
            "rounds_of": f"{rounds} x {seconds:g} s",
            "callers": {"farebox": CALLERS, "processes": PROCESSES, "baseline": CLIENTS},
            "baseline_percentiles": {
                shape: bench.baseline.percentiles(shape, 16, seconds) for shape in ("many", "hot")
            },
            "bytes": stored,
            "with_reader": bench.with_reader(),
            "voided": bench.voided,
            "floors": bench.floors,
            "rounds": made,
        }


def costs(rounds: list[dict[str, Any]], stored: dict[str, float]) -> dict[str, Any]:
    """What a command costs: bytes in tables and indexes, bytes of WAL, microseconds of CPU.

    `cpu_<shape>_<side>_us`: by process, medians over that side's rounds of that shape; the
    baseline's are those of its fastest number of clients.
    """
    figures: dict[str, Any] = {"bytes_per_command": round(stored["per_command"])}
    for shape in ("many", "hot"):
        for side in ("baseline", "farebox"):
            of_side = [r for r in rounds if (r["side"], r["shape"]) == (side, shape)]
            rates = {
                n: median(r["per_second"] for r in of_side if r["callers"] == n)
                for n in {r["callers"] for r in of_side}
            }
            best = [r for r in of_side if r["callers"] == max(rates, key=lambda n: rates[n])]
            figures[f"cpu_{shape}_{side}_us"] = {
                name: round(median(r["cpu_us"][name] for r in best), 1)
                for name in best[0]["cpu_us"]
            }
            figures[f"wal_bytes_per_command_{shape}_{side}"] = round(
                median(r["wal_bytes"] for r in best)
            )
    return figures


def options_of(arguments: argparse.Namespace) -> Options:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    quick = arguments.quick
    return Options(
        rounds=2 if quick else arguments.rounds,
        seconds=3.0 if quick else arguments.seconds,
        scale=Scale.of(arguments.accounts, arguments.events),
        folder=arguments.folder,
        tigerbeetle=arguments.tigerbeetle,
        say=say,
    )


def chosen(only: str | None) -> list[str]:
    """The names of the parts to run. Raises SystemExit for one that there is not."""
    names = only.split(",") if only else [FIRST, *PARTS]
    unknown = sorted({*names} - {FIRST, *PARTS})
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}: choose of {', '.join([FIRST, *PARTS])}")
    return names


def merged(path: Path, figures: dict[str, Any], part: tuple[str, dict[str, Any]] | None) -> None:
    """Write figures at the top of a result, a part's details under its name; the rest stays."""
    result = json.loads(path.read_text()) if path.exists() else {}
    result |= figures
    if part is not None:
        name, details = part
        result.setdefault("parts", {})[name] = {"command": said(sys.argv[1:]), **details}
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def said(arguments: list[str]) -> str:
    """The command as somebody else would say it: without this machine's folders."""
    kept = list(arguments)
    for option in ("--folder", "--output"):
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    return " ".join(["python -m benchmarks.ledger", *kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 3 s, to see it work")
    parser.add_argument("--output", type=Path, default=RESULT, help="parts are merged into it")
    parser.add_argument("--only", help=f"some of {','.join([FIRST, *PARTS])}; default: all")
    parser.add_argument("--accounts", type=int, default=1_000_000, help="in the filled log")
    parser.add_argument("--events", type=int, default=5_000_000, help="in the filled log")
    parser.add_argument("--folder", type=Path, help="of the filled log, kept and used again")
    parser.add_argument("--tigerbeetle", metavar="ADDRESS", help="also ask this TigerBeetle server")
    arguments = parser.parse_args()
    names, options = chosen(arguments.only), options_of(arguments)
    if FIRST in names:
        merged(arguments.output, side_by_side(options.rounds, options.seconds), None)
    for name, figures, details in run(names, options):
        merged(arguments.output, figures, (name, details))
    print(table(json.loads(arguments.output.read_text())))


if __name__ == "__main__":
    main()
