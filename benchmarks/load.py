"""One process of load: `callers` requests in flight for `seconds`, then one line of JSON.

    echo go | python -m benchmarks.load --url … --accounts FILE --callers 128 --seconds 10

It prints `ready` when connected, waits for a line on its input, and starts.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.crowd import Crowd, Unwanted
from farebox.bench.commands import Reserves
from farebox.bench.histogram import histogram_of

RESERVED = b'"reply":"Reserved"'
SUBJECTS = {str(p): b"ledger.commands.%d.use" % p for p in range(10)}


class Purses:
    """The accounts of a file. A million of them must not weigh more than ten thousand do, so all
    stay in one text and a command's head is made when it is sent.
    """

    LINE = len("0 ") + 32 + len(" ") + 32 + len("\n")

    def __init__(self, text: str, made: Reserves) -> None:
        self._text = text if text.endswith("\n") else text + "\n"
        self._made = made
        self._count, rest = divmod(len(self._text), self.LINE)
        if rest:
            raise SystemExit("the accounts file has lines of other lengths")

    def any(self) -> tuple[bytes, bytes]:
        """A subject and a Reserve, of an account anywhere in the file."""
        at = int(random.random() * self._count) * self.LINE
        account, key = self._text[at + 2 : at + 34], self._text[at + 35 : at + 67]
        return SUBJECTS[self._text[at]], self._made.make(self._made.head(account, key))


async def run(options: argparse.Namespace) -> None:
    purses = Purses(options.accounts.read_text(), Reserves())
    crowd = await Crowd.connect(options.url, "gateway", os.environ["GATEWAY_PASSWORD"])
    gc.freeze()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    cpu, began = time.process_time(), time.perf_counter()
    try:
        times = await crowd.run(options.callers, options.seconds, purses.any, RESERVED)
    except Unwanted as void:
        raise SystemExit(f"void: {void}") from void
    took = time.perf_counter() - began
    print(json.dumps(reported(times, took, time.process_time() - cpu)), flush=True)
    crowd.close()


def reported(times: list[float], took: float, cpu: float) -> dict[str, Any]:
    """What a load process tells of its calls; all in seconds, told in milliseconds."""
    times.sort()
    return {
        "count": len(times),
        "seconds": took,
        "cpu_s": cpu,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "histogram_ms": histogram_of(times).by_ms(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--accounts", type=Path, required=True)
    parser.add_argument("--callers", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
