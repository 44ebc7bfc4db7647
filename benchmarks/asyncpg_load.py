"""One process that calls the baseline's function from Python: as `benchmarks.load`, for asyncpg.

    echo go | BASELINE_DSN=… python -m benchmarks.asyncpg_load --tasks 8 --seconds 10

Each task has a connection of its own and a prepared statement, the most an asyncpg user can do.
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

import asyncpg
import uvloop

from benchmarks.load import reported

ACCOUNTS = 10_000


async def call(connection: "asyncpg.Connection[asyncpg.Record]", until: float) -> list[float]:
    statement = await connection.prepare("select reserve($1, 1)")
    times = []
    clock, dice = time.perf_counter, random.random
    while (began := clock()) < until:
        if not await statement.fetchval(1 + int(dice() * ACCOUNTS)):
            raise SystemExit("void: a call reserved nothing")
        times.append(clock() - began)
    return times


async def run(tasks: int, seconds: float) -> None:
    dsn = os.environ["BASELINE_DSN"]
    connections = [await asyncpg.connect(dsn) for _ in range(tasks)]
    gc.freeze()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    cpu, began = time.process_time(), time.perf_counter()
    made = await asyncio.gather(*(call(each, began + seconds) for each in connections))
    took = time.perf_counter() - began
    times = list(itertools.chain.from_iterable(made))
    print(json.dumps(reported(times, took, time.process_time() - cpu)), flush=True)
    for connection in connections:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    uvloop.run(run(options.tasks, options.seconds))


if __name__ == "__main__":
    main()
