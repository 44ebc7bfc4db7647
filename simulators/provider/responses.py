"""Responses: one message of words, whole or as named events whose last one carries the usage."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.provider.answer import Answer, chosen_words, count_ids, usage_of
from simulators.provider.delivery import Chunk
from simulators.provider.script import Script


@dataclass(frozen=True)
class ResponseAnswer(Answer):
    """One response; `finish` is "stop" or "length" as elsewhere."""

    @property
    def _head(self) -> dict[str, Any]:
        return {
            "id": f"resp_sim{self.number}",
            "object": "response",
            "created_at": super()._head["created"],
            "model": self.model,
            "error": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
        }

    @property
    def _item(self) -> dict[str, Any]:
        part = _part(" ".join(self.words))
        return _message(self.number, [part], "completed" if self.finish == "stop" else "incomplete")

    def body(self, style: str) -> dict[str, Any]:
        whole = self.finish == "stop"
        body = self._head | {
            "status": "completed" if whole else "incomplete",
            "incomplete_details": None if whole else {"reason": "max_output_tokens"},
            "output": [self._item],
        }
        return body if style == "none" else body | {"usage": self.reported(style)}

    def reported(self, style: str) -> dict[str, Any] | None:
        if style == "null":
            return None
        given, made = (
            0 if style == "zero" else self.usage[name]
            for name in ("prompt_tokens", "completion_tokens")
        )
        cached = min(self.usage["prompt_tokens_details"]["cached_tokens"], given)
        return {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given + made,
        }

    def chunks(self, style: str, *, asked: bool) -> Iterator[Chunk]:
        """Yield the named events but for the last one."""
        del style, asked
        for number, event in enumerate(self._events()):
            yield event["type"], event | {"sequence_number": number}

    def last(self, style: str) -> Chunk:
        """Return the event that ends a stream: the whole answer."""
        body = self.body(style)
        name = f"response.{body['status']}"
        number = sum(1 for _ in self._events())
        return name, {"type": name, "response": body, "sequence_number": number}

    def failure(self, error: dict[str, Any]) -> Chunk:
        failed = self._head | {"status": "failed", "output": [], "error": error["error"]}
        return "response.failed", {"type": "response.failed", "response": failed}

    def _events(self) -> Iterator[dict[str, Any]]:
        begun = self._head | {"status": "in_progress", "output": [], "usage": None}
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": begun}
        place = {"item_id": f"msg_sim{self.number}", "output_index": 0, "content_index": 0}
        item = _message(self.number, [], "in_progress")
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        yield {"type": "response.content_part.added", **place, "part": _part("")}
        for index, word in enumerate(self.words):
            delta = word if index == 0 else " " + word
            yield {"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []}
        text = " ".join(self.words)
        yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": _part(text)}
        yield {"type": "response.output_item.done", "output_index": 0, "item": self._item}


def compose_response(number: int, request: dict[str, Any], script: Script) -> ResponseAnswer:
    """Decide the words and the counts; the cap of the request is obeyed."""
    words, finish = chosen_words(script, request.get("max_output_tokens"))
    given = request["input"]
    texts = [given] if isinstance(given, str) else [_text(item) for item in given]
    usage = usage_of(script, 3 + sum(4 + count_ids(text) for text in texts), len(words))
    return ResponseAnswer(number, str(request.get("model")), words, finish, usage)


def _text(item: dict[str, Any]) -> str:
    content = item.get("content") or item.get("output") or item.get("arguments") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(number: int, content: list[Any], status: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_sim{number}",
        "role": "assistant",
        "status": status,
        "content": content,
    }
