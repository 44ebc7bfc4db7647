"""One short stream of each streaming surface, event by event, for scripted upstreams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tests.support.raw_gateway import DONE, REPORT, said

OUTPUT = 5
"""Output tokens that each stream reports."""


@dataclass(frozen=True)
class Stream:
    """What a client asks for and what its upstream sends.

    `relayed`: the events that reach the client before the settlement; `rest`: those after them.
    """

    path: str
    asked: bytes
    relayed: Sequence[bytes]
    rest: Sequence[bytes]

    @property
    def whole(self) -> list[bytes]:
        return [*self.relayed, *self.rest]


def named(kind: str, **data: Any) -> bytes:
    """An event with a name, as those of messages and responses have."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind} | data))


def _body(model: str, **fields: Any) -> bytes:
    return orjson.dumps({"model": model, "stream": True} | fields)


_HELLO = [{"role": "user", "content": "Hello"}]
_LETTERS = "abcde"
_USED = {"input_tokens": 10, "output_tokens": OUTPUT}
_MESSAGE = {"type": "message", "id": "m", "usage": {"input_tokens": 10, "output_tokens": 1}}

STREAMS = {
    "chat": Stream(
        "/v1/chat/completions",
        _body("swift-1", messages=_HELLO),
        [said(letter, "stop" if letter == "e" else None) for letter in _LETTERS],
        [REPORT, DONE],
    ),
    "responses": Stream(
        "/v1/responses",
        _body("swift-1", input="Hello"),
        [
            named("response.created", response={"id": "r", "status": "in_progress"}),
            *(named("response.output_text.delta", delta=letter) for letter in _LETTERS),
        ],
        [named("response.completed", response={"id": "r", "status": "completed", "usage": _USED})],
    ),
    "messages": Stream(
        "/v1/messages",
        _body("verse-1", messages=_HELLO, max_tokens=100),
        [
            named("message_start", message=_MESSAGE),
            *(
                named("content_block_delta", index=0, delta={"type": "text_delta", "text": letter})
                for letter in _LETTERS
            ),
            named("message_delta", delta={"stop_reason": "end_turn"}, usage=_USED),
        ],
        [named("message_stop")],
    ),
}
