"""Reads usage out of a response, whole or as named events, and changes no byte of it.

The last event of a stream is the whole response with its usage; it is held back until that is
settled.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from libs.catalogue import Usage
from services.gateway.meter import UpstreamBrokenError, noted
from services.gateway.sse import EventTooLargeError, Splitter
from services.gateway.surfaces.chat_meter import parsed
from services.gateway.surfaces.openai_usage import odd_tier, responses_usage
from services.gateway.surfaces.whole_meter import answer_of

# Inside a JSON text a quote is escaped, so what a model says can never match these; a schema of
# the client's that is told back can, so that the event is then read.
_LAST: Final = re.compile(rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error)"')
_ERROR: Final = re.compile(rb'"error"\s*:\s*["{]')
_DELTA: Final = re.compile(rb'"delta"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_TEXT_DELTA: Final = re.compile(rb'"type"\s*:\s*"response\.output_text\.delta"')
_ENDS: Final = ("response.completed", "response.incomplete")
_FAILURES: Final = ("response.failed", "error")
_SAID: Final = ("text", "refusal", "arguments", "input")
_FINISH: Final = re.compile(r"[a-z_]{1,32}")


class ResponsesMeter:
    """Meters one response."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.delivered = 0
        self.held = b""
        self.failed = False
        self.odd: str | None = None
        self.complete = False
        self._splitter = Splitter()
        self._begun = b""
        self._text: list[tuple[int, list[bytes]]] = []
        """What was said, with the bytes that were delivered when it was."""
        self._number = 0

    def whole(self, body: bytes) -> None:
        response = answer_of(body)
        if response.get("status") in {"failed", "cancelled"}:
            raise UpstreamBrokenError
        self._read(response)
        self.delivered = sum(_said(response.get("output")))

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._splitter.feed(data)
        except EventTooLargeError as error:
            raise UpstreamBrokenError from error
        return b"".join([event for event in events if self._passes(event)])

    def end(self) -> bytes:
        rest = self._splitter.rest()
        return rest if rest and self._passes(rest) else b""

    def _passes(self, event: bytes) -> bool:
        """Read one event; whether it is relayed now."""
        if self.complete or self.failed:
            return False
        if _LAST.search(event) or _ERROR.search(event):
            chunk = parsed(event)
            kind = chunk.get("type")
            if kind in _ENDS:
                response = chunk.get("response")
                self._read(response if isinstance(response, dict) else {})
                self.held = event
                return False
            self.failed = kind in _FAILURES or (kind is None and bool(chunk.get("error")))
        if not self._begun:
            self._begun = event
        self._number += 1
        deltas = _DELTA.findall(event)
        if deltas:
            self.delivered += sum(map(len, deltas))
            if _TEXT_DELTA.search(event):
                self._text.append((self.delivered, deltas))
        return True

    def so_far(self) -> tuple[dict[str, Any], str, int]:
        """The response as it was begun, the text that was delivered, and how many events came.

        A piece that was read and not relayed is none of it: nobody pays for that.
        """
        begun = parsed(self._begun).get("response")
        said = [delta for at, deltas in self._text if at <= self.delivered for delta in deltas]
        # Not by orjson: a delta may end with the first half of a character.
        text: str = json.loads(b'"%b"' % b"".join(said), strict=False)
        text = text.encode(errors="replace").decode()
        return begun if isinstance(begun, dict) else {}, text, self._number

    def _read(self, response: dict[str, Any]) -> None:
        self.usage = responses_usage(response)
        self.odd = noted(odd_tier(response))
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        finish = reason or response.get("status")
        if isinstance(finish, str) and _FINISH.fullmatch(finish):
            self.finish = finish
        self.complete = True


def response_ending(meter: ResponsesMeter, usage: Usage) -> bytes:
    """The end of a stream at its output cap: the response with the text that came until then."""
    response, text, number = meter.so_far()
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "role": "assistant", "status": "incomplete", "content": [part]}
    output = [{"id": f"msg_{response.get('id', '')}", **message}] if text else []
    told = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    ended = response | {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": output,
        "usage": told,
    }
    event = {"type": "response.incomplete", "sequence_number": number, "response": ended}
    return b"event: response.incomplete\ndata: " + orjson.dumps(event) + b"\n\n"


def _said(output: Any) -> Iterator[int]:
    """The bytes of each text in the items of a response."""
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict):
            for name in _SAID:
                if isinstance(text := item.get(name), str):
                    yield len(text.encode(errors="replace"))
            yield from _said(item.get("content"))
            yield from _said(item.get("summary"))
