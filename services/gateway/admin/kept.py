"""Where messages are kept that no service could read."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import nats.errors
from nats.js.errors import NotFoundError

from libs.events.subjects import QUARANTINE_STREAM
from services.gateway.problems import unavailable

_EVERYTHING: Final = ">"


@dataclass(frozen=True)
class Kept:
    """A message as the stream keeps it."""

    sequence: int
    subject: str
    headers: dict[str, str]
    raw: bytes
    at: str


class Quarantine(Protocol):
    """Where such messages are kept."""

    async def first_from(self, sequence: int) -> Kept | None: ...


class QuarantineStream:
    """The stream QUARANTINE, read message by message."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def first_from(self, sequence: int) -> Kept | None:
        """The first message at this sequence or after it. Raises Problem when NATS is away."""
        try:
            found = await self._client.jetstream().get_msg(
                QUARANTINE_STREAM, seq=sequence, subject=_EVERYTHING, next=True
            )
        except NotFoundError:
            return None
        except (nats.errors.Error, TimeoutError) as error:
            raise unavailable("nats_unavailable", "NATS") from error
        return Kept(
            sequence=found.seq,
            subject=found.subject,
            headers=dict(found.headers or {}),
            raw=bytes(found.data or b""),
            at=found.time.isoformat() if found.time else "",
        )
