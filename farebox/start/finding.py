"""What `farebox doctor` found: one line for each thing it looked at."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "failure"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` says what to do, where there is something to do."""

    check: str
    verdict: Verdict
    detail: str
    fix: str | None = None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def fine(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


def warning(check: str, detail: str, fix: str) -> Finding:
    return Finding(check, "warning", detail, fix)


def failure(check: str, detail: str, fix: str) -> Finding:
    return Finding(check, "failure", detail, fix)
