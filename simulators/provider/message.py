"""The arithmetic and the bodies of an Anthropic message.

Tokens are counted as in `simulators.provider.answer`; the system text counts as one message more,
and tools one for every 4 bytes of their JSON begun. `input_tokens` leaves out what was read from a
cache or written to one, as Anthropic's own does: the four counts add up to the prompt.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.provider.answer import DEFAULT_WORDS, prompt_tokens, words_of
from simulators.provider.delivery import Chunk
from simulators.provider.dialect import ANTHROPIC
from simulators.provider.script import Script

_ARGUMENTS = {"city": "Ghent"}


@dataclass(frozen=True)
class Message:
    """One answer: its words or its tool call, why it ended and what it reports."""

    number: int
    model: str
    words: list[str]
    tool: str | None
    stop: str
    usage: dict[str, Any]

    def body(self, style: str) -> dict[str, Any]:
        """Return the JSON answer."""
        return self._head(self._blocks(), self.stop, self._reported(style), style)

    def chunks(self, style: str) -> Iterator[Chunk]:
        """Yield a stream's events but for the last one, which is `message_stop`."""
        for name, data in self._events(style):
            yield name, {"type": name} | data

    def _events(self, style: str) -> Iterator[tuple[str, dict[str, Any]]]:
        start = self._reported(style)
        if start is not None:
            start = start | {"output_tokens": min(1, start["output_tokens"])}
        yield "message_start", {"message": self._head([], None, start, style)}
        for index, block in enumerate(self._blocks()):
            empty: dict[str, Any] = {"text": ""} if block["type"] == "text" else {"input": {}}
            yield "content_block_start", {"index": index, "content_block": block | empty}
            if index == 0:
                yield "ping", {}
            for delta in self._deltas(block):
                yield "content_block_delta", {"index": index, "delta": delta}
            yield "content_block_stop", {"index": index}
        if style == "running":
            half = {"output_tokens": self.usage["output_tokens"] // 2}
            yield "message_delta", self._delta(None, self.usage | half)
        for _ in range(2 if style == "duplicate" else 1):
            yield "message_delta", self._delta(self.stop, self._delta_usage(style))

    def _deltas(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if block["type"] == "text":
            for index, word in enumerate(self.words):
                text = word if index == 0 else " " + word
                yield {"type": "text_delta", "text": text}
            return
        arguments = json.dumps(block["input"])
        for piece in ("", arguments[:5], arguments[5:]):
            yield {"type": "input_json_delta", "partial_json": piece}

    def _blocks(self) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": " ".join(self.words)}]
        if self.tool is not None:
            call = {"type": "tool_use", "id": f"toolu_sim{self.number}", "name": self.tool}
            blocks.append(call | {"input": _ARGUMENTS})
        return blocks

    def _head(
        self, content: list[Any], stop: str | None, usage: dict[str, Any] | None, style: str
    ) -> dict[str, Any]:
        head = {
            "id": f"msg_sim{self.number}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
        }
        return head if style == "none" else head | {"usage": usage}

    def _delta(self, stop: str | None, usage: dict[str, Any] | None) -> dict[str, Any]:
        body: dict[str, Any] = {"delta": {"stop_reason": stop, "stop_sequence": None}}
        return body if usage == {} else body | {"usage": usage}

    def _delta_usage(self, style: str) -> dict[str, Any] | None:
        if style == "none":
            return {}
        if style == "brief":
            return {"output_tokens": self.usage["output_tokens"]}
        return self._reported(style)

    def _reported(self, style: str) -> dict[str, Any] | None:
        if style == "null":
            return None
        if style == "zero":
            return {"input_tokens": 0, "output_tokens": 0}
        return self.usage


def compose_message(number: int, request: dict[str, Any], script: Script) -> Message:
    """Decide the words and the counts of one answer; `max_tokens` is obeyed."""
    asked = script.words or DEFAULT_WORDS
    cap = request.get("max_tokens")
    count = asked if script.ignore_cap or not isinstance(cap, int) else min(asked, cap)
    tools = request.get("tools") or []
    tool = str(tools[0].get("name")) if script.tool and tools else None
    stop = "max_tokens" if count < asked else "end_turn" if tool is None else "tool_use"
    return Message(
        number=number,
        model=str(request.get("model")),
        words=words_of(count, script.word_bytes),
        tool=tool,
        stop=stop,
        usage=_usage(counted(request, script), count, script),
    )


def counted(request: dict[str, Any], script: Script) -> int:
    """Return the tokens of a request's whole input."""
    if script.prompt_tokens is not None:
        return script.prompt_tokens
    tokens = prompt_tokens(request.get("messages") or [])
    if system := request.get("system"):
        tokens += prompt_tokens([{"content": system}]) - prompt_tokens([])
    if tools := request.get("tools"):
        tokens += -(-len(json.dumps(tools)) // 4)
    return tokens


def error_event(message: str, request: str) -> Chunk:
    """Return the event that tells of an overloaded provider in the middle of a stream."""
    return "error", ANTHROPIC.error(529, message, request)


def _usage(total: int, output: int, script: Script) -> dict[str, Any]:
    read = min(script.cached_tokens, total)
    minutes = min(script.cache_write_tokens, total - read)
    hour = min(script.cache_write_1h_tokens, total - read - minutes)
    return {
        "input_tokens": total - read - minutes - hour,
        "cache_creation_input_tokens": minutes + hour,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": minutes,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": output,
        "service_tier": script.tier or "standard",
        "inference_geo": script.geo,
        "speed": script.speed,
    }
