"""Reads usage out of an answer that comes whole and never in pieces."""

from collections.abc import Callable
from typing import Any

import orjson

from libs.catalogue import Usage
from services.gateway.meter import UpstreamBrokenError

Reading = Callable[[dict[str, Any]], Usage | None]


def answer_of(body: bytes) -> dict[str, Any]:
    """The answer's object; raises UpstreamBrokenError when there is none, or only an error."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UpstreamBrokenError from error
    if not isinstance(answer, dict) or answer.get("error"):
        raise UpstreamBrokenError
    return answer


class WholeMeter:
    """Meters one JSON answer by `read`."""

    def __init__(self, read: Reading) -> None:
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.delivered = 0
        self.held = b""
        self.failed = False
        self.odd: str | None = None
        self.complete = True
        self._read = read

    def whole(self, body: bytes) -> None:
        self.usage = self._read(answer_of(body))

    def feed(self, data: bytes) -> bytes:
        """A stream that nobody asked for is no answer."""
        del data
        raise UpstreamBrokenError

    def end(self) -> bytes:
        return b""
