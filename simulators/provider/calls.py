"""What the provider was asked, and the rules that tell it what to do next."""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, PositiveInt

from simulators.provider.script import Script


class Rule(BaseModel):
    """A script for the next `times` calls that fit (null: for all of them)."""

    model_config = ConfigDict(extra="forbid")

    script: Script = Script()
    times: PositiveInt | None = 1
    path: str | None = None  # only calls of this path
    contains: str | None = None  # only calls whose body holds this text


@dataclass
class Call:
    """One request as it arrived and what became of it.

    `outcome`: open, complete, refused (401), failed (scripted error status), reset, died
    (in mid-answer), client_gone.
    """

    number: int
    method: str
    path: str
    authorization: str | None
    headers: dict[str, str]
    body: Any
    outcome: str = "open"
    status: int | None = None
    chunks: int = 0
    usage: dict[str, Any] | None = None


@dataclass
class Record:
    """Everything the control API shows; refused calls are kept apart from the count."""

    calls: list[Call] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """Forget calls and rules; let go of what is held."""
        self.calls.clear()
        self.rules.clear()
        self.release()

    def release(self) -> None:
        """Let every held answer go on; later ones are held again."""
        self.released.set()
        self.released = asyncio.Event()

    def take(self, path: str, raw: bytes) -> Script | None:
        """Return the script of the first rule that fits, counting it down."""
        for rule in self.rules:
            if rule.path not in (None, path):
                continue
            if rule.contains is not None and rule.contains.encode() not in raw:
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times == 0:
                    self.rules.remove(rule)
            return rule.script
        return None

    def summary(self) -> dict[str, Any]:
        """Count of admitted calls, of refused ones, and all of them in order."""
        refused = sum(call.outcome == "refused" for call in self.calls)
        return {
            "count": len(self.calls) - refused,
            "refused": refused,
            "calls": [asdict(call) for call in self.calls],
        }


RECORD = web.AppKey("record", Record)
"""Where an application keeps its record."""
