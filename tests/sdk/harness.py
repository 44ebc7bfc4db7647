"""Runs the official SDKs, oldest and newest, Python and Node, against one running gateway.

One process for each SDK runs all cases at once and prints what came of each; the tests read that.
Cases are data, so that one list serves all SDKs; what a case calls is in `programs/`.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from libs.events.commands import Command
from libs.events.ids import new_secret
from libs.events.replies import Reply
from libs.runtime.errors import LedgerUnavailable
from simulators.provider.app import RunningProvider, running_provider
from tests.sdk.install import INSTALLED, MODULES, NODE
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    all_closed,
    catalogue_for,
    running_gateway,
)

PROGRAMS = Path(__file__).parent / "programs"
CASE_HEADER = "x-test-case"
_LONGEST_S = 60.0


@dataclass(frozen=True)
class Sdk:
    """One version of one official SDK; `name` is that of its programs and packages."""

    name: str
    language: Literal["python", "node"]
    age: Literal["oldest", "newest"]

    def __str__(self) -> str:
        return f"{self.name}-{self.language}-{self.age}"


def versions(name: str) -> list[Sdk]:
    return [Sdk(name, lang, age) for lang in ("python", "node") for age in ("oldest", "newest")]


@dataclass(frozen=True)
class Case:
    """One call: `call` is one that the programs know, `fields` is what it sends beside its model.

    `text` is what the user says: a directive in it tells the provider what to answer. Cases of the
    same `once` send the same Idempotency-Key.
    """

    name: str
    call: str = "json"
    text: str = "Hello"
    key: str = "good"
    model: str = "swift-1"
    retries: int = 0
    timeout_s: float = 30.0
    fields: dict[str, Any] = field(default_factory=dict)
    once: str = ""

    def headers(self, sdk: Sdk) -> dict[str, str]:
        """What it sends beside what the SDK sends by itself."""
        headers = {CASE_HEADER: f"{sdk}/{self.name}"}
        return headers | ({"idempotency-key": f"{sdk}/{self.once}"} if self.once else {})


@dataclass
class Attempts:
    """How often each case was tried: it stands before the gateway and reads the case's header."""

    seen: Counter[str] = field(default_factory=Counter)
    app: ASGIApp | None = None

    def around(self, app: ASGIApp) -> "Attempts":
        self.app = app
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope.get("headers", ()):
            if name == CASE_HEADER.encode():
                self.seen[value.decode()] += 1
        assert self.app is not None
        await self.app(scope, receive, send)


@dataclass
class PartlyAway(GatewayLedger):
    """A ledger that does not answer for some accounts."""

    away_for: set[str] = field(default_factory=set)

    async def send(self, command: Command, *, give_up_s: float) -> Reply:
        if command.account_id in self.away_for:
            raise LedgerUnavailable("away")
        return await super().send(command, give_up_s=give_up_s)


@contextlib.asynccontextmanager
async def stack(folder: Path, **replaced: str) -> AsyncIterator["Stack"]:
    """A provider and a gateway before it; `replaced` changes texts of the example catalogue."""
    attempts = Attempts()
    async with (
        running_provider() as provider,
        running_gateway(
            folder,
            catalogue_for(provider.url, **replaced),
            PartlyAway(),
            around=attempts.around,
        ) as gateway,
    ):
        yield Stack(gateway, provider, attempts)


@dataclass(frozen=True)
class Stack:
    """What the SDKs talk to, with the keys that the cases name.

    good; poor: its account has next to nothing; narrow: for another model; wrong: unknown;
    away: the ledger does not answer for its account.
    """

    gateway: RunningGateway
    provider: RunningProvider
    attempts: Attempts

    async def run(self, sdks: Iterable[Sdk], cases: Iterable[Case]) -> "Results":
        """Run every case on every SDK; all reservations are closed when it returns.

        What a case lets the provider hold comes when the SDKs have ended.
        """
        keys = self._keys()
        found = await _run_all(list(sdks), list(cases), self.gateway.url, keys, self.attempts)
        self.provider.record.release()
        await all_closed(self.gateway.ledger)
        return found

    def _keys(self) -> dict[str, str]:
        ledger = self.gateway.ledger
        assert isinstance(ledger, PartlyAway)
        good, away = ledger.account(100 * DOLLAR), ledger.account(DOLLAR)
        ledger.away_for.add(away)
        return {
            "good": ledger.key(good),
            "narrow": ledger.key(good, allowed=["another-model"]),
            "poor": ledger.key(ledger.account(1_000)),
            "wrong": new_secret(0),
            "away": ledger.key(away),
        }


Results = dict[str, dict[str, dict[str, Any]]]
"""By SDK and case: what the call returned or how it failed, and how often it was tried."""


async def _run_all(
    sdks: list[Sdk], cases: list[Case], url: str, keys: dict[str, str], attempts: Attempts
) -> Results:
    found = await asyncio.gather(*(_run(sdk, cases, url, keys) for sdk in sdks))
    for sdk, outcomes in zip(sdks, found, strict=True):
        for case, outcome in outcomes.items():
            outcome["attempts"] = attempts.seen[f"{sdk}/{case}"]
    return {str(sdk): outcomes for sdk, outcomes in zip(sdks, found, strict=True)}


async def _run(sdk: Sdk, cases: list[Case], url: str, keys: dict[str, str]) -> dict[str, Any]:
    asked = {
        "url": url,
        "cases": [
            asdict(case) | {"key": keys[case.key], "headers": case.headers(sdk)} for case in cases
        ],
    }
    async with _process(sdk) as process:
        out, err = await asyncio.wait_for(
            process.communicate(json.dumps(asked).encode()), _LONGEST_S
        )
    assert process.returncode == 0, f"{sdk}: {err.decode()[-4000:]}"
    return json.loads(out)


@contextlib.asynccontextmanager
async def _process(sdk: Sdk) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *_command(sdk), stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(sdk)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _command(sdk: Sdk) -> tuple[str, ...]:
    if sdk.language == "python":
        return (sys.executable, "-W", "ignore", str(PROGRAMS / f"{sdk.name}_calls.py"))
    program = str(PROGRAMS / f"{sdk.name}_calls.mjs")
    return (str(NODE / "bin" / "node"), program, str(MODULES / f"{sdk.name}-{sdk.age}"))


def _environment(sdk: Sdk) -> dict[str, str]:
    """Nothing of the developer's own: an SDK reads keys and addresses from its environment."""
    target = str(INSTALLED / f"python-{sdk.age}") if sdk.language == "python" else ""
    return {"PYTHONPATH": target, "PYTHONPYCACHEPREFIX": str(INSTALLED / "pycache")}
