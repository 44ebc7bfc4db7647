"""Reads usage out of an Anthropic message, whole or in pieces, and changes no byte of it.

A stream tells its usage twice: at its start, and cumulated in `message_delta`. The later one is
laid over the earlier one, never added to it. Anthropic's `input_tokens` leave out what was read
from a cache or written to one; ours are all of them.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from libs.catalogue import Usage
from services.gateway.meter import UpstreamBrokenError, is_count, noted, token_usage
from services.gateway.sse import EventTooLargeError, Splitter, data_of

# Inside a JSON text a quote is escaped, so what a model says can never match these.
_TELLS: Final = re.compile(
    rb'"type"\s*:\s*"(?:message_start|message_delta|message_stop|error'
    rb'|content_block_start|content_block_stop)"'
)
_TEXT: Final = re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_FINISH: Final = re.compile(r"[a-z_]{1,32}")
_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_HOUR: Final = "ephemeral_1h_input_tokens"
_MINUTES: Final = "ephemeral_5m_input_tokens"
_PRICED: Final[Mapping[str, tuple[str, ...]]] = {
    "service_tier": ("standard",),
    "speed": ("standard",),
    "inference_geo": ("", "global", "not_available"),
}
"""What an answer may say of how it was served and still have the price of the book."""


class MessageMeter:
    """Meters one answer."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.delivered = 0
        self.held = b""
        self.failed = False
        self.odd: str | None = None
        self.open_block: int | None = None
        """The block of a stream that has begun and not ended."""
        self._merged: dict[str, Any] = {}
        self._splitter = Splitter()
        self._stopped = False
        self._counted = False
        """Whether a stream has told its output after its start, where it is only a beginning."""

    @property
    def complete(self) -> bool:
        """The reason of the end was told, or the end itself."""
        return self._stopped or self.finish is not None

    def whole(self, body: bytes) -> None:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise UpstreamBrokenError from error
        if not isinstance(answer, dict) or answer.get("type") != "message":
            raise UpstreamBrokenError
        self._lay_over(answer.get("usage"))
        self._read_end(answer)
        if self.usage is None or not self.usage.output_tokens:
            self.delivered = sum(map(_size_of, _listed(answer.get("content"))))
        self._stopped = True

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

    def _passes(self, event: bytes) -> bool:
        """Read one event; whether it is relayed now."""
        if self._stopped:
            return False
        if _TELLS.search(event):
            self._read(_parsed(event))
            if self._stopped:
                self.held = event
                return False
        self.delivered += sum(map(len, _TEXT.findall(event)))
        return True

    def _read(self, told: dict[str, Any]) -> None:
        match told.get("type"):
            case "message_start":
                message = told.get("message")
                self._lay_over(message.get("usage") if isinstance(message, dict) else None)
            case "message_delta":
                usage = told.get("usage")
                self._lay_over(usage)
                if isinstance(usage, dict) and is_count(usage.get("output_tokens")):
                    self._counted = True
                delta = told.get("delta")
                self._read_end(delta if isinstance(delta, dict) else {})
                self._forget_uncounted()
            case "message_stop":
                self._stopped = True
                self._forget_uncounted()
            case "content_block_start":
                self.open_block = _count(told.get("index"))
            case "content_block_stop":
                self.open_block = None
            case "error":
                self.failed = True

    def _forget_uncounted(self) -> None:
        """At the end, the output that was counted at the start alone is no count of it."""
        if self.complete and not self._counted and self.usage is not None:
            self.usage = replace(self.usage, output_tokens=0)

    def _read_end(self, told: dict[str, Any]) -> None:
        reason = told.get("stop_reason")
        if isinstance(reason, str):
            self.finish = reason if _FINISH.fullmatch(reason) else "other"

    def _lay_over(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        # A provider that repeats a broken count after a good one has still told the good one.
        self._merged |= {name: usage[name] for name in _COUNTS if is_count(usage.get(name))}
        if isinstance(usage.get("cache_creation"), dict):
            self._merged["cache_creation"] = usage["cache_creation"]
        self.usage = usage_of(self._merged) or self.usage
        if self.odd is None:
            self.odd = noted(_oddity(usage))


def usage_of(told: Mapping[str, Any]) -> Usage | None:
    """The usage of Anthropic's counts; None when it is not known what went in and came out."""
    if not all(is_count(told.get(name)) for name in _COUNTS[:2]):
        return None
    fresh, output, read, written = (int(told.get(name) or 0) for name in _COUNTS)
    split = told.get("cache_creation") or {}
    minutes, hour = (_count(split.get(name)) for name in (_MINUTES, _HOUR))
    # Where the parts and the sum differ, nothing of either is free.
    written = max(written, minutes + hour)
    return token_usage(
        fresh + read + written,
        read,
        output,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
    )


def _count(value: Any) -> int:
    return int(value) if is_count(value) else 0


def _oddity(usage: Mapping[str, Any]) -> str | None:
    """What the answer says of itself that has another price than ours."""
    for name, known in _PRICED.items():
        value = usage.get(name)
        if value is not None and value not in known:
            return f"{name}={str(value)[:32]}"
    hosted = usage.get("server_tool_use")
    if isinstance(hosted, dict) and any(hosted.values()):
        return "server_tool_use"
    return None


def _size_of(block: Any) -> int:
    """The bytes of text in a block of a whole answer."""
    if not isinstance(block, dict):
        return 0
    texts = (block.get(name) for name in ("text", "thinking"))
    size = sum(len(text.encode(errors="replace")) for text in texts if isinstance(text, str))
    return size + (len(orjson.dumps(block["input"])) if block.get("input") else 0)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parsed(event: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(data_of(event))
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
