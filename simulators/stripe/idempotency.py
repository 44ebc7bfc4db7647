"""Idempotency-Key as documented: same key and parameters replay, other parameters are an error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.stripe.errors import ApiError

KEPT_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to the first call under a key."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Saved:
    made_at: float
    request: str
    answer: Answer


class IdempotencyKeys:
    """Keys and their first answers, forgotten 24 hours after they were made."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._saved: dict[str, _Saved] = {}

    def replay(self, key: str, request: str) -> Answer | None:
        """The first answer under this key, None for a new one.

        Raises:
            ApiError: the key was used with another path or other parameters.
        """
        saved = self._saved.get(key)
        if saved is None:
            return None
        if self._now() - saved.made_at >= KEPT_S:
            del self._saved[key]
            return None
        if saved.request != request:
            raise ApiError(
                400,
                type="idempotency_error",
                message=f"Keys for idempotent requests can only be used with the same parameters "
                f"they were first used with. Try using a key other than '{key}'.",
            )
        return saved.answer

    def save(self, key: str, request: str, answer: Answer) -> None:
        """Keep the answer of a call that began to execute, a decline or a 500 included."""
        self._saved[key] = _Saved(self._now(), request, answer)
