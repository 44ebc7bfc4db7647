"""One process that asks a TigerBeetle server: as `benchmarks.load`, through its Python client.

    echo go | python -m benchmarks.tigerbeetle_load --address 3000 --tasks 64 --seconds 10

A reservation is a pending transfer of one from one of 10,000 accounts that may not be overdrawn
to one account that holds all of them; each call carries one. The accounts are made anew.
"""

import argparse
import asyncio
import gc
import importlib
import itertools
import json
import os
import random
import sys
import time
from types import ModuleType
from typing import Any

from benchmarks.load import reported

ACCOUNTS = 10_000
RICH = 10**12
LEDGER, CODE = 64_206, 1
HOLD_S = 3600
AT_ONCE = 8_000
"""Fewer than a message of the server may have."""


def client_module() -> ModuleType:
    """TigerBeetle's own client. Raises SystemExit that names the fix."""
    try:
        return importlib.import_module("tigerbeetle")
    except ModuleNotFoundError:
        raise SystemExit(
            "TigerBeetle's client is not installed: pip install 'farebox[tigerbeetle]' "
            "(or `pip install tigerbeetle` of the server's own version)"
        ) from None


class Side:
    """The accounts of one round on one client."""

    def __init__(self, tb: ModuleType, client: Any) -> None:
        self.tb = tb
        self.client = client
        self.holder = tb.id()
        self.accounts = [tb.id() for _ in range(ACCOUNTS)]

    async def prepare(self) -> None:
        """Make the accounts and fill them. Raises SystemExit when the server does not."""
        tb, bank = self.tb, self.tb.id()
        bounded = tb.AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
        made = [self._account(bank), self._account(self.holder)]
        made += [self._account(each, bounded) for each in self.accounts]
        for some in _cut(made):
            self._all(await self.client.create_accounts(some), tb.CreateAccountStatus)
        filled = [
            tb.Transfer(id=tb.id(), debit_account_id=bank, credit_account_id=each, amount=RICH,
                        ledger=LEDGER, code=CODE)
            for each in self.accounts
        ]  # fmt: skip
        for some in _cut(filled):
            self._all(await self.client.create_transfers(some), tb.CreateTransferStatus)

    async def call(self, until: float) -> list[float]:
        """One task: a pending transfer after the other; the times of those created."""
        tb, times = self.tb, []
        clock, dice, created = time.perf_counter, random.random, tb.CreateTransferStatus.CREATED
        pending = tb.TransferFlags.PENDING
        while (began := clock()) < until:
            transfer = tb.Transfer(
                id=tb.id(), debit_account_id=self.accounts[int(dice() * ACCOUNTS)],
                credit_account_id=self.holder, amount=1, timeout=HOLD_S, ledger=LEDGER, code=CODE,
                flags=pending,
            )  # fmt: skip
            (result,) = await self.client.create_transfers([transfer])
            if result.status != created:
                raise SystemExit(f"void: {result.status!r}")
            times.append(clock() - began)
        return times

    async def held(self) -> int:
        """How many reservations the server has."""
        (holder,) = await self.client.lookup_accounts([self.holder])
        return int(holder.credits_pending)

    def _account(self, number: int, flags: Any = None) -> Any:
        given = {} if flags is None else {"flags": flags}
        return self.tb.Account(id=number, ledger=LEDGER, code=CODE, **given)

    def _all(self, results: list[Any], statuses: Any) -> None:
        wrong = [result.status for result in results if result.status != statuses.CREATED]
        if wrong:
            raise SystemExit(f"the server refused {len(wrong)} of {len(results)}: {wrong[0]!r}")


def _cut(items: list[Any]) -> list[list[Any]]:
    return [items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE)]


async def run(
    tb: ModuleType, client: Any, tasks: int, seconds: float, patience_s: float
) -> dict[str, Any]:
    """Prepare, wait for the word, load, and check that the server holds what it answered."""
    side = Side(tb, client)
    try:
        await asyncio.wait_for(side.prepare(), patience_s)
    except TimeoutError:
        raise SystemExit(
            f"no TigerBeetle server answered within {patience_s:g} s: is the address right, its "
            "cluster 0, and the server not older than the client?"
        ) from None
    gc.freeze()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    cpu, began = time.process_time(), time.perf_counter()
    made = await asyncio.gather(*(side.call(began + seconds) for _ in range(tasks)))
    took = time.perf_counter() - began
    times = list(itertools.chain.from_iterable(made))
    report = reported(times, took, time.process_time() - cpu)
    held = await side.held()
    if held != len(times):
        raise SystemExit(f"void: {len(times)} answered, {held} held")
    return report


async def ask(address: str, tasks: int, seconds: float, patience_s: float) -> None:
    tb = client_module()
    client = tb.ClientAsync(cluster_id=0, replica_addresses=address)
    try:
        report = await run(tb, client, tasks, seconds, patience_s)
    except SystemExit as end:
        # With a request that nobody answers the client cannot be closed, and its own thread may
        # call into an interpreter that is being taken down: then this would end with SIGSEGV.
        print(end, file=sys.stderr, flush=True)
        os._exit(1)
    print(json.dumps(report), flush=True)
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="of a server of cluster 0: 127.0.0.1:3000")
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--patience", type=float, default=10, help="seconds for the first answers")
    options = parser.parse_args()
    asyncio.run(ask(options.address, options.tasks, options.seconds, options.patience))


if __name__ == "__main__":
    main()
