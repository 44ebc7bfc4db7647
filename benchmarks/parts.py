"""The parts of `python -m benchmarks.ledger` beside the first: each can be run alone."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from benchmarks import beside_tigerbeetle, from_python, growth, memory, relaying, replaying
from benchmarks.filling import Scale, fill
from benchmarks.installation import Installation, installed
from benchmarks.surroundings import environment, surroundings
from benchmarks.turn import Turn

CALLERS, PROCESSES = 256, 2
SMALL = Scale.of(40_000, 200_000)
"""Where a rate does not depend on the size of the log."""
LONG_LOG = 1_000_000
"""Events from which on one pass over the log is long enough to count alone."""

Details = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How much and how long. `folder`: an installation that is filled already, or will be."""

    rounds: int
    seconds: float
    scale: Scale
    folder: Path | None
    tigerbeetle: str | None
    say: Callable[[str], None]


class Workshop:
    """Installations for one run, made when a part needs them and shared by those that follow."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def filled(self) -> Installation:
        return self._fill(self.options.scale, self.options.folder)

    @cached_property
    def small(self) -> Installation:
        return self._fill(SMALL, None)

    def _fill(self, scale: Scale, folder: Path | None) -> Installation:
        installation = self._open.enter_context(_installed(folder))
        fill(installation, scale, self.options.say)
        return installation


@contextmanager
def _installed(folder: Path | None = None) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory() as scratch, installed(folder or Path(scratch)) as made:
        yield made


def relay(workshop: Workshop) -> Details:
    made = relaying.measure(workshop.small, workshop.options.rounds)
    return {**environment(workshop.small, baseline=False), **made}


def replay(workshop: Workshop) -> Details:
    """The log alone over the filled log; with projections over a small one."""
    scale = workshop.options.scale
    repeats = 1 if scale.events >= LONG_LOG else workshop.options.rounds
    log = replaying.measure(workshop.filled, repeats)
    projections = replaying.with_projections(workshop.small, 1)
    return {
        **environment(workshop.filled, baseline=False),
        "scale": {"accounts": scale.accounts, "events": scale.events},
        **log,
        "replay_with_projections_per_s": projections.pop("replay_with_projections_per_s"),
        "projections": projections,
    }


def grow(workshop: Workshop) -> Details:
    options = workshop.options
    turn = Turn(CALLERS, PROCESSES, options.seconds, options.say)
    with _installed() as empty:
        made = growth.measure(empty, workshop.filled, options.scale, turn, options.rounds)
        read_back = environment(workshop.filled, baseline=False)
    return {
        **read_back,
        "rounds_of": f"{options.rounds} x {options.seconds:g} s",
        "callers": {"farebox": CALLERS, "processes": PROCESSES},
        **made,
        "voided": turn.voided,
    }


def asyncpg(workshop: Workshop) -> Details:
    options = workshop.options
    turn = Turn(CALLERS, PROCESSES, options.seconds, options.say)
    with _installed() as installation:
        made = from_python.measure(installation, turn, options.rounds)
        read_back = environment(installation, baseline=True)
    return {**read_back, "rounds_of": f"{options.rounds} x {options.seconds:g} s", **made,
            "voided": turn.voided}  # fmt: skip


def tigerbeetle(workshop: Workshop) -> Details | None:
    """Only when a server was named; both sides with as many in flight."""
    options = workshop.options
    if options.tigerbeetle is None:
        return None
    turn = Turn(beside_tigerbeetle.TASKS, PROCESSES, options.seconds, options.say)
    with _installed() as installation:
        made = beside_tigerbeetle.measure(installation, options.tigerbeetle, turn, options.rounds)
        read_back = environment(installation, baseline=False)
    return {**read_back, "rounds_of": f"{options.rounds} x {options.seconds:g} s", **made,
            "voided": turn.voided}  # fmt: skip


def size(workshop: Workshop) -> Details:
    return {**environment(workshop.small, baseline=False), **memory.measure(workshop.small)}


def failover(workshop: Workshop) -> Details | None:
    """`benchmarks.failover.measure()`: the time to the first accepted command after each fault."""
    try:
        module = import_module("benchmarks.failover")
    except ModuleNotFoundError as error:
        if error.name != "benchmarks.failover":
            raise
        workshop.options.say("benchmarks/failover.py is not there: no failover_s")
        return None
    measured: Details = module.measure()
    return {**surroundings(), **measured}


Part = Callable[[Workshop], Details | None]

PARTS: Mapping[str, tuple[Part, tuple[str, ...]]] = {
    "relay": (relay, ("relay_events_per_s",)),
    "replay": (replay, ("replay_events_per_s", "replay_with_projections_per_s")),
    "growth": (grow, ("growth_ratio", "growth_uniform_ratio")),
    "asyncpg": (asyncpg, ("asyncpg_many_ratio",)),
    "memory": (size, ("memory_per_account_bytes",)),
    "failover": (failover, ("failover_s",)),
    "tigerbeetle": (tigerbeetle, ("tigerbeetle_many_ratio",)),
}
"""Each part, and its figures that stand at the top of the result."""


def run(names: list[str], options: Options) -> Iterator[tuple[str, Details, Details]]:
    """Run parts in their order; yields (name, figures for the top, everything else)."""
    with Workshop(options) as workshop:
        for name, (part, tops) in PARTS.items():
            if name not in names:
                continue
            began = time.monotonic()
            options.say(f"measuring {name}")
            details = part(workshop)
            if details is None:
                continue
            figures = {top: details.pop(top) for top in tops}
            options.say(f"{name} in {time.monotonic() - began:.0f} s: {figures}")
            yield name, figures, details
