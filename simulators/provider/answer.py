"""The arithmetic and the bodies of a chat completion.

Prompt tokens: 3 for the conversation, and for each message 4 plus one for every 4 bytes of
its text begun (UTF-8). Completion tokens: the number of words sent. Both are therefore known
to a test that knows the text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.provider.delivery import Chunk
from simulators.provider.script import Script

DEFAULT_WORDS = 24
_ARGUMENTS = '{"city": "Ghent"}'
_CREATED = 1_790_000_000
_VOCABULARY = (  # noqa: SIM905 - a sentence reads better than a list of its words
    "every request pays its fare before it rides and the ledger keeps what was spent "
    "so that anybody can add it up again"
).split()


def prompt_tokens(messages: list[Any]) -> int:
    """Return the tokens of a conversation by the rule above."""
    return 3 + sum(4 + -(-len(_text(message).encode()) // 4) for message in messages)


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


@dataclass(frozen=True)
class Answer:
    """One completion: its words, why it ended and what it reports."""

    number: int
    model: str
    words: list[str]
    finish: str
    usage: dict[str, Any]
    tool: str | None = None

    @property
    def _head(self) -> dict[str, Any]:
        return {"id": f"chatcmpl-sim{self.number}", "created": _CREATED, "model": self.model}

    def body(self, style: str) -> dict[str, Any]:
        """Return the JSON answer."""
        message: dict[str, Any] = {"role": "assistant", "content": " ".join(self.words)}
        message["refusal"] = None
        if self.tool is not None:
            message["tool_calls"] = [self._call(_ARGUMENTS)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        body = self._head | {"object": "chat.completion", "choices": [choice]}
        return body if style == "none" else body | {"usage": self.reported(style)}

    def chunks(self, style: str, *, asked: bool) -> Iterator[Chunk]:
        """Yield a stream's chunks: role, one word each, the end, and usage if it is due."""
        speaks = style in ("unasked", "running") or asked
        role = {"role": "assistant", "content": ""}
        yield None, self._chunk(role, None, style, 0, asked=asked)
        for index, word in enumerate(self.words):
            delta = {"content": word if index == 0 else " " + word}
            yield None, self._chunk(delta, None, style, index + 1, asked=asked)
        for delta in self._tool_deltas():
            yield None, self._chunk(delta, None, style, len(self.words), asked=asked)
        yield None, self._chunk({}, self.finish, style, len(self.words), asked=asked)
        if not speaks or style in ("none", "running"):
            return
        last = self._head | {"object": "chat.completion.chunk", "choices": []}
        for _ in range(2 if style == "duplicate" else 1):
            yield None, last | {"usage": self.reported(style)}

    def _call(self, arguments: str) -> dict[str, Any]:
        function = {"name": self.tool, "arguments": arguments}
        return {"id": f"call_sim{self.number}", "type": "function", "function": function}

    def _tool_deltas(self) -> Iterator[dict[str, Any]]:
        if self.tool is not None:
            yield {"tool_calls": [self._call("") | {"index": 0}]}
            for part in (_ARGUMENTS[:5], _ARGUMENTS[5:]):
                yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}

    def failure(self, error: dict[str, Any]) -> Chunk:
        """Return the event of an error in the middle of a stream."""
        return None, error

    def _chunk(
        self, delta: dict[str, Any], finish: str | None, style: str, sent: int, *, asked: bool
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = self._head | {"object": "chat.completion.chunk", "choices": [choice]}
        if style == "running":
            prompt = self.usage["prompt_tokens"]
            counts = {"completion_tokens": sent, "total_tokens": prompt + sent}
            return chunk | {"usage": self.usage | counts}
        return chunk | {"usage": None} if asked and style != "none" else chunk

    def reported(self, style: str) -> dict[str, Any] | None:
        """Return the usage object as the style wants it."""
        if style == "null":
            return None
        if style == "zero":
            return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return self.usage


def compose(number: int, request: dict[str, Any], script: Script) -> Answer:
    """Decide the words and the counts of one answer; the caps of the request are obeyed."""
    caps = [request.get(name) for name in ("max_completion_tokens", "max_tokens")]
    cap = min((value for value in caps if isinstance(value, int)), default=None)
    words, finish = chosen_words(script, cap)
    usage = usage_of(script, prompt_tokens(request.get("messages") or []), len(words))
    tools = request.get("tools") or []
    tool = str(tools[0]["function"]["name"]) if script.tool and tools else None
    finish = finish if tool is None else "tool_calls"
    return Answer(number, str(request.get("model")), words, finish, usage, tool)


def chosen_words(script: Script, cap: int | None) -> tuple[list[str], str]:
    """The words of an answer and why it ended: at most `cap` words, unless it is ignored."""
    asked = script.words or DEFAULT_WORDS
    count = asked if script.ignore_cap or cap is None else min(asked, cap)
    return words_of(count, script.word_bytes), "length" if count < asked else "stop"


def usage_of(script: Script, prompt: int, made: int) -> dict[str, Any]:
    """The counts, under the names of chat completions."""
    if script.prompt_tokens is not None:
        prompt = script.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt + made,
        "prompt_tokens_details": {"cached_tokens": min(script.cached_tokens, prompt)},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def count_ids(value: Any) -> int:
    """The tokens of a text (one for every 4 bytes begun) or of a list of token ids."""
    return -(-len(value.encode()) // 4) if isinstance(value, str) else len(value)


def words_of(count: int, size: int | None) -> list[str]:
    """Return the first words of the provider's text, each of `size` bytes if that is given."""
    return [_word(index, size) for index in range(count)]


def _word(index: int, size: int | None) -> str:
    word = _VOCABULARY[index % len(_VOCABULARY)]
    return word if size is None else (word * (size // len(word) + 1))[:size]
