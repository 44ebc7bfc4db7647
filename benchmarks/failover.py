"""How long a partition is without a leader: `python -m benchmarks.failover`.

Two ledger processes, one leading and one standing by. The leader is ended in each of the ways in
which it can end, under load, and then takes the standby's place. The time is that from the signal
to the first command that the standby accepted: the end of the longest silence after the signal,
because a leader that is told to stop answers what it has taken before it goes. Every command that
was answered has to be in the log, or there is no result.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import httpx
import nats.errors

from benchmarks.installation import ROOT, Installation, installed
from benchmarks.opening import publishing
from libs.events import commands as c
from libs.events.codec import decode_reply, encode_command
from libs.events.ids import new_id, parse_id
from libs.events.subjects import command as command_subject
from libs.runtime.broker import open_broker
from libs.runtime.clock import SystemClock
from libs.runtime.command_client import CommandClient
from libs.runtime.ending import beside
from libs.runtime.health import Health
from libs.runtime.settings import Settings
from libs.runtime.supervision import Lifecycle

ROUNDS = 5
ENDS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
PROBE_EVERY_S = 0.01
PROBE_S = 1.0
CLIENTS = 8
PATIENT_S = 30.0
SETTLED_S = 0.5
"""How long commands are accepted again before a round is over, and before the next begins."""

Say = Callable[[str], None]


class NoResult(Exception):
    """A round that proves nothing: something was refused, or an answer is not in the log."""


class Ledger:
    """One of the two ledger processes."""

    def __init__(self, name: str, installation: Installation) -> None:
        self.name = name
        self._installation = installation
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        stack, folder = self._installation.stack, self._installation.folder
        environment = {
            **os.environ, **stack.env_for(self.name), "FAREBOX_DATA_DIR": str(folder),
            "FAREBOX_CONFIG": str(folder / "farebox.toml"),
        }  # fmt: skip
        with (folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "farebox.main", "serve", "ledger"],
                cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    async def ready(self) -> None:
        await _until(lambda: self._ask("/health/ready") is not None, f"{self.name} is not ready")

    @property
    def leads(self) -> bool:
        return 'farebox_ledger_leading{partition="0"} 1' in (self._ask("/metrics") or "")

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and not self.ended:
            self._process.send_signal(number)

    def _ask(self, path: str) -> str | None:
        try:
            run = self._installation.folder / "run" / f"{self.name}.json"
            told = json.loads(run.read_text())
            if self._process is None or told["pid"] != self._process.pid:
                return None
            answer = httpx.get(f"http://127.0.0.1:{told['ports']['health']}{path}", timeout=0.5)
        except (OSError, ValueError, httpx.HTTPError):
            return None
        return answer.text if answer.status_code == 200 else None


@dataclass
class Load:
    """A probe every hundredth of a second, and clients that repeat their commands as ours do."""

    client: CommandClient
    nc: Any
    account: str
    key: str
    accepted: dict[str, float] = field(default_factory=dict)
    """When each command was answered Reserved."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When a client's command was answered, and how long that took with its repeats."""
    heard: dict[int, float] = field(default_factory=dict)
    """When each client was last answered."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._ask_for_ever(number))
            while True:
                group.create_task(self._probe())
                await asyncio.sleep(PROBE_EVERY_S)

    async def _probe(self) -> None:
        command = self._reserve()
        try:
            message = await self.nc.request(
                command_subject(0, "use"), encode_command(command), timeout=PROBE_S
            )
        except nats.errors.Error:
            return
        self._take(command, decode_reply(message.data))

    async def _ask_for_ever(self, number: int) -> None:
        while True:
            command, began = self._reserve(), time.perf_counter()
            self._take(command, await self.client.send(command, give_up_s=PATIENT_S))
            self.heard[number] = time.perf_counter()
            self.waits.append((self.heard[number], self.heard[number] - began))
            await asyncio.sleep(PROBE_EVERY_S)

    def all_heard_since(self, moment: float) -> bool:
        return len(self.heard) == CLIENTS and min(self.heard.values()) > moment

    def _take(self, command: c.Reserve, reply: Any) -> None:
        if reply.reply != "Reserved":
            raise NoResult(f"a Reserve was answered {reply}")
        self.accepted.setdefault(command.caller_id, time.perf_counter())

    def _reserve(self) -> c.Reserve:
        data = c.ReserveData(
            key_id=self.key, operation="swift-1", surface="bench", amount=1, at_least=1,
            hold_ms=3_600_000, at_deadline="release", catalogue="0" * 64,
        )  # fmt: skip
        return c.Reserve(
            kind="Reserve", caller_id=new_id("req"), account_id=self.account,
            correlation_id="bench", deadline=_in_an_hour(), data=data,
        )  # fmt: skip

    def silence_until(self, after: float) -> float:
        """The end of the longest silence that ended after a moment."""
        times = sorted(self.accepted.values())
        before = max((at for at in times if at <= after), default=after)
        gaps = [(b - a, b) for a, b in pairwise([before, *(at for at in times if at > after)])]
        return max(gaps)[1]


async def _failovers(installation: Installation, rounds: int, say: Say) -> dict[str, Any]:
    ledgers = [Ledger("ledger-1", installation), Ledger("ledger-2", installation)]
    try:
        for ledger in ledgers:
            ledger.start()
            await ledger.ready()
        async with AsyncExitStack() as stack:
            load = await _loaded(installation, stack)
            task = await stack.enter_async_context(beside(load.run()))
            figures = {way: await _rounds(way, ledgers, load, task, rounds, say) for way in ENDS}
        await _all_in_the_log(installation, load)
    finally:
        for ledger in ledgers:
            ledger.send(signal.SIGCONT)
            ledger.send(signal.SIGTERM)
        await _until(lambda: all(ledger.ended for ledger in ledgers), "a ledger does not end")
    return {"failover_s": max(way["worst_s"] for way in figures.values()), "failover": figures}


async def _rounds(
    way: str, ledgers: list[Ledger], load: Load, task: "asyncio.Task[None]", rounds: int, say: Say
) -> dict[str, Any]:
    took, waited = [], []
    for number in range(rounds):
        seconds, longest = await _round(ENDS[way], ledgers, load, task)
        say(f"{way} {number + 1} of {rounds}: {seconds:.2f} s, a client waited {longest:.2f} s")
        took.append(seconds)
        waited.append(longest)
    return {
        "median_s": round(median(took), 3),
        "worst_s": round(max(took), 3),
        "client_median_s": round(median(waited), 3),
        "client_worst_s": round(max(waited), 3),
        "rounds_s": [round(seconds, 3) for seconds in took],
    }


async def _round(
    number: signal.Signals, ledgers: list[Ledger], load: Load, task: "asyncio.Task[None]"
) -> tuple[float, float]:
    """End the leader; the seconds until the standby accepts, and the longest wait of a client."""
    await _until(lambda: any(ledger.leads for ledger in ledgers), "nobody leads")
    leader, standby = sorted(ledgers, key=lambda ledger: not ledger.leads)
    await asyncio.sleep(SETTLED_S)
    began = time.perf_counter()
    leader.send(number)
    await _until(lambda: task.done() or standby.leads, "the standby does not lead")
    await _until(lambda: task.done() or load.all_heard_since(began), "a client is not answered")
    await asyncio.sleep(SETTLED_S)
    if task.done():
        raise NoResult("the load ended") from task.exception()
    seconds = load.silence_until(began) - began
    longest = max(took for at, took in load.waits if at > began)
    leader.send(signal.SIGCONT)
    await _until(lambda: leader.ended, f"{leader.name} does not end")
    leader.start()
    await leader.ready()
    return seconds, longest


async def _loaded(installation: Installation, stack: AsyncExitStack) -> Load:
    clients = {}
    for user, command_class in (("admin", "admin"), ("gateway", "use")):
        env = installation.stack.env_for(user)
        settings = Settings(
            nats_url=env["FAREBOX_NATS_URL"], nats_password=env["FAREBOX_NATS_PASSWORD"],
            process_name="",
        )  # fmt: skip
        broker = await stack.enter_async_context(open_broker(settings, user, Lifecycle(), Health()))
        clients[user] = broker.connection, CommandClient(
            broker.connection, command_class=command_class, partitions=1, watch=None,
            clock=SystemClock(),
        )  # fmt: skip
    account, key = new_id("acct"), new_id("key")
    for command in (publishing(), *_opening(account, key)):
        await clients["admin"][1].send(command, give_up_s=PATIENT_S)
    nc, client = clients["gateway"]
    return Load(client, nc, account, key)


def _opening(account: str, key: str) -> list[c.Command]:
    common = {"account_id": account, "correlation_id": "bench"}
    opened = c.OpenAccountData(unit="USD", plan="payg", catalogue="0" * 64)
    issued = c.IssueKeyData(
        key_id=key, secret_hash=key[4:] * 2, purpose="inference", prefix="fb_0_bench"
    )
    granted = c.GrantCreditsData(source="admin", amount=10**15, priority=0, reason_code="bench")
    return [
        c.OpenAccount(caller_id=account, data=opened, **common),
        c.IssueKey(caller_id=key, data=issued, deadline=_in_an_hour(), **common),
        c.GrantCredits(caller_id=f"bench:{account}", data=granted, **common),
    ]


async def _all_in_the_log(installation: Installation, load: Load) -> None:
    connection = await asyncpg.connect(installation.dsn("auditor"))
    try:
        found = await connection.fetchval(
            "select count(*) from ledger.commands where caller_id = any($1)",
            [parse_id(caller, "req") for caller in load.accepted],
        )
    finally:
        await connection.close()
    if found != len(load.accepted):
        raise NoResult(f"{len(load.accepted)} commands were answered, {found} are in the log")


async def _until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENT_S
    while not await asyncio.to_thread(holds):
        if time.monotonic() > deadline:
            raise NoResult(f"{what} after {PATIENT_S:g} s")
        await asyncio.sleep(0.02)


def _in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def measure(rounds: int = ROUNDS, say: Say = lambda _text: None) -> dict[str, Any]:
    """Measure on servers of its own. Raises NoResult.

    Returns `failover_s`, the worst of all rounds, and `failover`, figures for each way to end.
    """
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as installation:
        return asyncio.run(_failovers(installation, rounds, say))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    figures = measure(rounds, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
