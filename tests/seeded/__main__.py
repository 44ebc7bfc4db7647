"""`make simulate SEED=… STEPS=…`: run seeds again; the trace of the first that fails."""

import argparse
import sys
import time

from tests.seeded.simulation import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.seeded")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--steps", type=int, default=200, help="commands that callers send")
    parser.add_argument("--trace", action="store_true", help="print the trace of a good seed too")
    given = parser.parse_args()
    began, events, leaders = time.monotonic(), 0, 0
    for seed in range(given.seed, given.seed + given.seeds):
        outcome = simulate(seed, given.steps)
        events, leaders = events + outcome.events, leaders + outcome.leaders
        if outcome.findings or given.trace:
            sys.stdout.write("\n".join([*outcome.trace, *outcome.findings, ""]))
        if outcome.findings:
            sys.stdout.write(f"seed {seed} fails: make simulate SEED={seed} STEPS={given.steps}\n")
            return 1
        if given.seeds == 1:
            sys.stdout.write(f"seed {seed}: {len(outcome.trace)} lines, digest {outcome.digest}\n")
    took = time.monotonic() - began
    sys.stdout.write(
        f"{given.seeds} seeds x {given.steps} steps in {took:.1f} s: {events:,} events under"
        f" {leaders:,} leaders, nothing found\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
