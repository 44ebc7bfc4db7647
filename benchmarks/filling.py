"""A long log, written quickly: `python -m benchmarks.filling --folder F --accounts N --events M`.

Bodies, chain, commands, accounts, keys and grants are those of `benchmarks.sample`, copied in as
the superuser while no ledger runs. Fingerprints are any 32 bytes, for no command is repeated.
Accounts stand in the order in which they were opened; their requests are spread over time.
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import random
import struct
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.installation import Installation, installed
from benchmarks.sample import SETUP, Clock, Sample, take_sample

CHUNK = 10_000
"""Accounts written by one process at a time."""
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = struct.pack(">h", -1)
EVENT = struct.Struct(">hihiqi16siqihi")
COMMAND = struct.Struct(">hi16sihi16siqihi32s")
VARIANT = 0x8 << 60


@dataclass(frozen=True)
class Scale:
    """How much is in a log. Each account has `SETUP` events and two for each of its requests."""

    accounts: int
    requests: int

    @classmethod
    def of(cls, accounts: int, events: int) -> "Scale":
        """The scale nearest to a number of events."""
        return cls(accounts, max(0, round((events / accounts - SETUP) / 2)))

    @property
    def events(self) -> int:
        return self.accounts * (SETUP + 2 * self.requests)


@dataclass(frozen=True)
class Plan:
    dsn: str
    sample: Sample
    scale: Scale
    clock: Clock

    def position(self, step: int, chunk: int, count: int, place: int) -> int:
        """Where a step of the account at a place of its chunk stands in the log."""
        setup = 1 + SETUP * chunk
        if step < SETUP:
            return setup + SETUP * place + step
        request, which = divmod(step - SETUP, 2)
        block = 1 + SETUP * self.scale.accounts
        block += 2 * (self.scale.requests * chunk + request * count)
        return block + 2 * place + which


class Chunk:
    """The rows of some accounts that were opened one after the other."""

    def __init__(self, plan: Plan, first: int, count: int) -> None:
        self.plan = plan
        self.first = first
        self.count = count
        self.dice = random.Random(first)
        self.events: dict[int, bytes] = {}
        self.commands: dict[int, bytes] = {}
        self.accounts: list[tuple[Any, ...]] = []
        self.keys: list[tuple[Any, ...]] = []
        self.grants: list[tuple[Any, ...]] = []
        self.lines: list[str] = []
        self._orders = [range(count)]
        for _ in range(plan.scale.requests):
            order = list(range(count))
            self.dice.shuffle(order)
            self._orders.append(order)

    def build(self) -> None:
        for number in range(self.count):
            self._account(number)

    def _id(self, position: int) -> str:
        dice = self.dice.getrandbits
        return f"{self.plan.clock.hex(position)}7{dice(12):03x}{VARIANT | dice(60):016x}"

    def _place(self, step: int, number: int) -> int:
        order = self._orders[0 if step < SETUP else 1 + (step - SETUP) // 2]
        return self.plan.position(step, self.first, self.count, order[number])

    def _account(self, number: int) -> None:
        sample, clock = self.plan.sample, self.plan.clock
        positions = [self._place(step, number) for step in range(len(sample.steps))]
        account, key = self._id(positions[0]), self._id(positions[1])
        identity = bytes.fromhex(account)
        values = {"account": account.encode(), "key": key.encode()}
        head = bytes(32)
        for step, position in zip(sample.steps, positions, strict=True):
            if step.version > SETUP and (step.version - SETUP) % 2:
                values["res"] = self._id(position).encode()
            values["prev"] = head.hex().encode()
            values["position"] = b'"position":%d,' % position
            values["at"] = clock.at(position)
            values["until"] = clock.until(position)
            body = step.body.fill(values)
            head = hashlib.sha256(body).digest()
            self.events[position] = (
                EVENT.pack(7, 2, 0, 8, position, 16, identity, 8, step.version, 2, step.type,
                           len(body))
                + body + b"\0\0\0\x20" + head
            )  # fmt: skip
            caller = step.caller_bytes(values)
            self.commands[position] = COMMAND.pack(
                6, 16, caller, 2, step.kind, 16, identity, 8, position, 2, 1, 32,
                hashlib.sha256(caller).digest(),
            )  # fmt: skip
        row = {**sample.account, "account_id": account, "head": head, "position": positions[-1],
               "state": sample.state.fill(values)}  # fmt: skip
        self.accounts.append(tuple(row.values()))
        row = {**sample.key, "account_id": account, "key_id": key, "lineage": key,
               "secret_hash": bytes.fromhex(key * 2), "position": positions[1]}  # fmt: skip
        self.keys.append(tuple(row.values()))
        row = {**sample.grant, "account_id": account, "position": positions[2]}
        self.grants.append(tuple(row.values()))
        self.lines.append(f"0 {account} {key}")


async def _copy(chunk: Chunk) -> None:
    sample = chunk.plan.sample
    connection = await asyncpg.connect(chunk.plan.dsn)
    try:
        for table, rows in (("events", chunk.events), ("commands", chunk.commands)):
            ordered = (rows[position] for position in sorted(rows))
            await connection.copy_to_table(
                table, schema_name="ledger", format="binary", source=_binary(ordered)
            )
        for table, like, records in (
            ("accounts", sample.account, chunk.accounts),
            ("api_keys", sample.key, chunk.keys),
            ("granted", sample.grant, chunk.grants),
        ):
            await connection.copy_records_to_table(
                table, schema_name="ledger", records=records, columns=list(like)
            )
    finally:
        await connection.close()


async def _binary(rows: Any) -> Any:
    yield HEADER
    parts: list[bytes] = []
    for row in rows:
        parts.append(row)
        if len(parts) == 500:
            yield b"".join(parts)
            parts.clear()
    yield b"".join(parts) + END


def write_chunk(plan: Plan, first: int, count: int) -> list[str]:
    """Write some accounts; returns their lines of the accounts file."""
    chunk = Chunk(plan, first, count)
    chunk.build()
    asyncio.run(_copy(chunk))
    return chunk.lines


def fill(installation: Installation, scale: Scale, tell: Any) -> Path:
    """Fill an installation with nothing in it; returns the file that names its accounts."""
    path = installation.folder / "accounts-all.txt"
    if path.exists():
        return path
    began = time.monotonic()
    dsn, sample = installation.dsn("postgres"), _sample(installation, scale)
    _make_room(installation, scale.events)
    plan = Plan(dsn, sample, scale, Clock(scale.events))
    spawn, lines = multiprocessing.get_context("spawn"), []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        firsts = range(0, scale.accounts, CHUNK)
        written = [
            pool.submit(write_chunk, plan, first, min(CHUNK, scale.accounts - first))
            for first in firsts
        ]
        for future in written:
            lines += future.result()
            tell(f"{len(lines):,} of {scale.accounts:,} accounts filled")
    tell("vacuum and checkpoint")
    installation.stack.postgres.sql("vacuum (analyze)", database="farebox")
    installation.checkpoint()
    installation.renew_stream(scale.events + 1)
    path.write_text("\n".join(lines))
    tell(f"filled with {scale.events:,} events in {time.monotonic() - began:.0f} s")
    return path


def _sample(installation: Installation, scale: Scale) -> Sample:
    """Let the ledger write for one account, then forget that account."""
    stack = installation.stack
    installation.start("ledger")
    sample = asyncio.run(
        take_sample(
            stack.nats.url, stack.nats_password, installation.dsn("postgres"), scale.requests
        )
    )
    installation.stop()
    installation.empty()
    return sample


def _make_room(installation: Installation, up_to: int) -> None:
    while int(installation.sql("select ledger.make_event_partitions($1)", up_to)) <= up_to:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="kept, to be measured later")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    options = parser.parse_args()
    scale = Scale.of(options.accounts, options.events)
    with installed(options.folder) as installation:
        fill(installation, scale, lambda line: print(line, file=sys.stderr, flush=True))


if __name__ == "__main__":
    main()
