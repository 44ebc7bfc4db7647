"""Reads usage out of a chat or text completion, whole or in pieces, and changes no byte of it.

Of a stream only the events that can matter are parsed; the one that carries nothing but the usage
is left out when the client did not ask for it.
"""

import re
from typing import Any, Final

import orjson

from libs.catalogue import Usage
from services.gateway.meter import UpstreamBrokenError, noted
from services.gateway.sse import EventTooLargeError, Splitter, data_of
from services.gateway.surfaces.openai_usage import chat_usage, odd_tier

# Inside a JSON text a quote is escaped, so what a model says can never match these.
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_ERROR: Final = re.compile(rb'"error"\s*:\s*["{]')
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"([a-z_]{1,32})"')
_VALUE: Final = rb'\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"'
# What is thought is named `reasoning` by Ollama and newer vLLM, `reasoning_content` by others.
CHAT_TEXT: Final = re.compile(rb'"(?:content|refusal|reasoning(?:_content)?|arguments)"' + _VALUE)
COMPLETION_TEXT: Final = re.compile(rb'"text"' + _VALUE)
_DONE: Final = b"[DONE]"
_END: Final = b"data: [DONE]\n\n"
_HEAD: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")


class ChatMeter:
    """Meters one answer; `strip_usage` when the usage was asked for by us alone.

    `text` finds in a chunk what the model says, for the estimate.
    """

    def __init__(
        self, *, choices: int, strip_usage: bool, text: re.Pattern[bytes] = CHAT_TEXT
    ) -> None:
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.delivered = 0
        self.held = b""
        self.failed = False
        self.odd: str | None = None
        self._choices = choices
        self._strip_usage = strip_usage
        self._text = text
        self._splitter = Splitter()
        self._finished = 0
        self._done = False
        self._last = b""

    @property
    def complete(self) -> bool:
        """All choices ended, or the end was announced."""
        return self._done or self._finished >= self._choices

    def whole(self, body: bytes) -> None:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise UpstreamBrokenError from error
        if not isinstance(answer, dict) or (answer.get("error") and not answer.get("choices")):
            raise UpstreamBrokenError
        self.usage = chat_usage(answer)
        self.odd = noted(odd_tier(answer))
        self._read_ends(body)
        if self.failed:
            raise UpstreamBrokenError
        if self.usage is None or not self.usage.output_tokens:
            self._read_text(body)
        self._done = True

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._splitter.feed(data)
        except EventTooLargeError as error:
            raise UpstreamBrokenError from error
        return b"".join([event for event in events if self._passes(event)])

    def end(self) -> bytes:
        # An end without its blank line is no event by the book, but some providers write it so.
        rest = self._splitter.rest()
        return rest if rest and self._passes(rest) else b""

    def head(self) -> dict[str, Any]:
        """What all chunks of this stream have in common."""
        chunk = parsed(self._last)
        return {name: chunk[name] for name in _HEAD if name in chunk}

    def _passes(self, event: bytes) -> bool:
        """Read one event; whether it is relayed now."""
        if self._done:
            return False
        if _DONE in event and data_of(event).strip() == _DONE:
            self.held = event
            self._done = True
            return False
        if _USAGE.search(event) and self._is_only_usage(event):
            return not self._strip_usage
        if _ERROR.search(event) and isinstance(parsed(event).get("error"), dict | str):
            self.failed = True
        self._read_ends(event)
        self._read_text(event)
        self._last = event
        return True

    def _is_only_usage(self, event: bytes) -> bool:
        chunk = parsed(event)
        # A provider that repeats a broken count after a good one has still told the good one.
        self.usage = chat_usage(chunk) or self.usage
        if self.odd is None:
            self.odd = noted(odd_tier(chunk))
        return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)

    def _read_ends(self, raw: bytes) -> None:
        for match in _FINISH.finditer(raw):
            self._finished += 1
            self.finish = match[1].decode()
            # A provider's own word for "I failed": what failed is not charged.
            self.failed = self.failed or self.finish == "error"

    def _read_text(self, raw: bytes) -> None:
        self.delivered += sum(map(len, self._text.findall(raw)))


def chat_ending(head: dict[str, Any], choices: int, usage: Usage | None) -> bytes:
    """The end of a stream at its output cap; `usage` where the client asked for it."""
    ends: list[dict[str, Any]] = [
        {"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"}
        for index in range(choices)
    ]
    chunk = {"object": "chat.completion.chunk"} | head
    if usage is None:
        return _event(chunk | {"choices": ends}) + _END
    told = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
    last = _event(chunk | {"choices": [], "usage": told})
    return _event(chunk | {"choices": ends, "usage": None}) + last + _END


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def parsed(event: bytes) -> dict[str, Any]:
    """The JSON object that an event holds; empty where it holds none."""
    try:
        chunk = orjson.loads(data_of(event))
    except orjson.JSONDecodeError:
        return {}
    return chunk if isinstance(chunk, dict) else {}
