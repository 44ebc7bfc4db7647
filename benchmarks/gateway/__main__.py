"""The gateway side by side with what a user would put there instead.

Rules: one stub provider serves everybody; load comes from a process of its own; sides alternate;
medians count; Farebox holds, settles and appends every request, and afterwards its ledger has to
say so: the account paid exactly the requests that were answered, and no hold is left. LiteLLM runs
as its documentation says, one worker, without its database, checking its master key; Portkey's
gateway checks no key. Whoever cannot be installed is left out and named.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.gateway.ours import farebox
from benchmarks.gateway.peers import (
    LITELLM,
    PORTKEY,
    NotInstalledError,
    Side,
    litellm,
    portkey,
    stub,
)
from benchmarks.gateway.rounds import FailedError, Round, play
from benchmarks.surroundings import surroundings

RESULT: Final = Path(__file__).parents[1] / "results" / "gateway.json"
SHAPES: Final = (("json", 1), ("json", 32), ("stream", 1), ("stream", 32))
# 1,200 input and 350 output tokens at 0.25 and 2.00 dollars a million, and 10 %.
CHARGE: Final = Decimal("0.0011")


class Bench:
    def __init__(self, rounds: int, seconds: float, only: set[str] | None) -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.only = only
        self.made: list[Round] = []
        self.left_out: dict[str, str] = {}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def run(self, folder: Path) -> dict[str, Any]:
        with contextlib.ExitStack() as stack:
            direct = stack.enter_context(stub())
            ours, books = stack.enter_context(farebox(direct.port, folder))
            sides = [direct, ours]
            peers = {"litellm": litellm, "portkey": portkey}
            for name, peer in peers.items():
                if self.only is not None and name not in self.only:
                    continue
                self.say(f"starting {name}")
                try:
                    sides.append(stack.enter_context(peer(direct.port, folder)))
                except NotInstalledError as error:
                    self.left_out[name] = str(error)
                    self.say(f"left out: {name}: {error}")
            before = Decimal(books.total())
            for number in range(self.rounds):
                self.say(f"round {number + 1} of {self.rounds}")
                for shape, clients in SHAPES:
                    for side in sides:
                        self._round(side, shape, clients)
            paid = before - Decimal(books.total())
        return {**self.figures(), **self._proof(paid)}

    def _round(self, side: Side, shape: str, clients: int) -> None:
        if f"{side.name} {shape}" in self.left_out:
            return
        try:
            made = play(side, shape, clients, self.seconds)
        except FailedError as error:
            if side.name in {"direct", "farebox"}:
                raise
            # A peer that cannot do it here is left out by name; its other rounds count.
            self.left_out[f"{side.name} {shape}"] = str(error)
            self.say(f"left out: {error}")
            return
        self.made.append(made)
        cost = sum(made.cpu_us.values())
        self.say(
            f"{made.side:8} {shape:6} {clients:2}: {made.per_second:8.1f} a second, "
            f"p50 {made.p50_ms:.2f} ms, first byte {made.first_byte_p50_ms:.2f} ms, {cost:.0f} us"
        )

    def _proof(self, paid: Decimal) -> dict[str, Any]:
        """What the account paid is what was answered: nothing ran unpaid, nothing twice."""
        ours = [each for each in self.made if each.side == "farebox"]
        answered = sum(each.requests + each.warm_requests for each in ours)
        if paid != CHARGE * answered:
            raise FailedError(f"{answered} answers cost {CHARGE * answered}, but {paid} was paid")
        return {"answered_and_charged": answered}

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        ours = self._of("farebox")
        direct = self._of("direct")
        found["overhead_p50_ms"] = _difference(ours("json", 1, _p50), direct("json", 1, _p50))
        done = {(each.side, each.shape) for each in self.made}
        for peer in ("litellm", "portkey"):
            theirs = self._of(peer)
            for name, (shape, clients, figure) in COMPARED.items():
                if (peer, shape) in done:
                    ratio = ours(shape, clients, figure) / theirs(shape, clients, figure)
                    found[f"{name}_ratio_{peer}"] = round(ratio, 3)
        return found

    def _of(self, side: str) -> Callable[[str, int, Callable[[Round], float]], float]:
        def middle(shape: str, clients: int, figure: Callable[[Round], float]) -> float:
            rounds = [
                r for r in self.made if (r.side, r.shape, r.clients) == (side, shape, clients)
            ]
            return median(figure(r) for r in rounds)

        return middle


def _p50(made: Round) -> float:
    return made.p50_ms


def _first(made: Round) -> float:
    return made.first_byte_p50_ms


def _rate(made: Round) -> float:
    return made.per_second


def _cpu(made: Round) -> float:
    return sum(made.cpu_us.values())


def _all_cpu(made: Round) -> float:
    """With everything the side needs besides: for Farebox the ledger, its database and NATS."""
    return _cpu(made) + sum(made.beside_us.values())


def _difference(ours: float, theirs: float) -> float:
    return round(ours - theirs, 3)


COMPARED: Final[dict[str, tuple[str, int, Callable[[Round], float]]]] = {
    "json_rps": ("json", 32, _rate),
    "json_p50": ("json", 1, _p50),
    "json_cpu": ("json", 32, _cpu),
    "stream_cpu": ("stream", 32, _cpu),
    "stream_all_cpu": ("stream", 32, _all_cpu),
    "first_byte": ("stream", 1, _first),
}
"""A figure, and the shape and number of clients whose rounds it is taken from."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--quick", action="store_true", help="1 round of 2 s, to see it work")
    parser.add_argument("--peers", help="some of litellm,portkey; default: all")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.0) if arguments.quick else (arguments.rounds, arguments.seconds)
    only = None if arguments.peers is None else set(arguments.peers.split(","))
    bench = Bench(rounds, seconds, only)
    with tempfile.TemporaryDirectory() as folder:
        figures = bench.run(Path(folder))
    result = {
        **figures,
        **surroundings(),
        "peers": {"litellm": LITELLM, "portkey": PORTKEY},
        "left_out": bench.left_out,
        "rounds_of": f"{rounds} x {seconds:g} s",
        "rounds": [asdict(each) for each in bench.made],
    }
    arguments.output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    for name, figure in figures.items():
        print(f"{name:32}{figure:>12}")


if __name__ == "__main__":
    main()
