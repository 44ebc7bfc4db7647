"""What a request that is done was told, kept so that it can be told again."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import orjson

from libs.runtime import metrics
from services.gateway.errors import HeaderList
from services.gateway.exchange import Exchange, Head

REPLAYED: Final[HeaderList] = ((b"idempotent-replayed", b"true"),)
_told_again: Final = metrics.counter(
    "repeats_told_again_total", "Repeats of requests that got the first one's answer again."
)
OVERHEAD: Final = 1024
"""Bytes that what is remembered of a request takes beside its body, at most about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that was charged or has succeeded, which is final.

    `charged` is a decimal text, None while the ledger has not said. Without a `head` it cannot be
    told again: it was a stream, or is kept nowhere.
    """

    request_id: str
    status: int | None
    charged: str | None
    head: Head | None
    state: str = "settled"

    @property
    def size(self) -> int:
        """Bytes it takes in memory."""
        return OVERHEAD + (0 if self.head is None else len(self.head.body or b""))

    def within(self, most: int) -> Self:
        """Without its body, if that is above `most` bytes."""
        return self if self.size - OVERHEAD <= most else replace(self, head=None)

    def tell(self, exchange: Exchange) -> None:
        """Answer a repeat as the first request was answered, its id included."""
        assert self.head is not None
        _told_again.inc()
        exchange.request_id = self.request_id
        headers = (*self.head.headers, *REPLAYED)
        exchange.repeat(replace(self.head, headers=headers))


def pack(answer: Answer) -> bytes:
    """An answer with a head, as bytes: a line of JSON, then the body."""
    head = answer.head
    assert head is not None
    headers = [[part.decode("latin-1") for part in header] for header in head.headers]
    told = {"id": answer.request_id, "status": head.status, "charged": answer.charged}
    return orjson.dumps(told | {"headers": headers}) + b"\n" + (head.body or b"")


def unpack(raw: bytes) -> Answer | None:
    """The answer in these bytes, None where `pack` has not made them."""
    line, _, body = raw.partition(b"\n")
    try:
        told: dict[str, Any] = orjson.loads(line)
        headers = tuple(
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in told["headers"]
        )
        head = Head(int(told["status"]), headers, body)
        return Answer(str(told["id"]), head.status, told["charged"], head)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
