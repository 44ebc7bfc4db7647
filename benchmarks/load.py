"""One process of load: `callers` requests in flight for `seconds`, then one line of JSON.

    echo go | python -m benchmarks.load --url … --accounts FILE --callers 128 --seconds 10

It prints `ready` when connected, waits for a line on its input, and starts.
"""

import argparse
import asyncio
import gc
import itertools
import json
import os
import random
import sys
import time
from pathlib import Path

import uvloop

from benchmarks.commands import Reserves
from benchmarks.wire import Wire

RESERVED = b'"reply":"Reserved"'


Purse = tuple[bytes, str]
"""A subject, and the head of every Reserve of one account."""


async def call(wire: Wire, made: Reserves, purses: list[Purse], until: float) -> list[float]:
    """One caller: a command after the other; the times of those answered Reserved, in seconds."""
    times = []
    clock, dice, many = time.perf_counter, random.random, len(purses)
    while (began := clock()) < until:
        subject, head = purses[int(dice() * many)]
        answer = await wire.request(subject, made.make(head))
        if RESERVED not in answer:
            raise SystemExit(f"void: {answer.decode()}")
        times.append(clock() - began)
    return times


async def run(options: argparse.Namespace) -> None:
    made = Reserves()
    purses = [_purse(made, line) for line in options.accounts.read_text().split("\n")]
    wire = await Wire.connect(options.url, "gateway", os.environ["GATEWAY_PASSWORD"])
    gc.freeze()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    cpu, began = time.process_time(), time.perf_counter()
    until = began + options.seconds
    callers = [call(wire, made, purses, until) for _ in range(options.callers)]
    times = sorted(itertools.chain.from_iterable(await asyncio.gather(*callers)))
    took = time.perf_counter() - began
    report = {
        "count": len(times),
        "seconds": took,
        "cpu_s": time.process_time() - cpu,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
    }
    print(json.dumps(report), flush=True)
    wire.close()


def _purse(made: Reserves, line: str) -> Purse:
    partition, account, key = line.split(" ")
    return f"ledger.commands.{partition}.use".encode(), made.head(account, key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--accounts", type=Path, required=True)
    parser.add_argument("--callers", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10)
    uvloop.run(run(parser.parse_args()))


main()
