"""Text completions, the older surface: every prompt is continued `n` times by the same words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.provider.answer import Answer, chosen_words, count_ids, usage_of
from simulators.provider.delivery import Chunk
from simulators.provider.script import Script

_DEFAULT_CAP = 16


@dataclass(frozen=True)
class TextAnswer(Answer):
    """The continuations; `before` is what each repeats of its prompt."""

    before: tuple[str, ...] = ()

    @property
    def _head(self) -> dict[str, Any]:
        return super()._head | {"id": f"cmpl-sim{self.number}", "object": "text_completion"}

    def body(self, style: str) -> dict[str, Any]:
        text = " ".join(self.words)
        choices = [
            _choice(index, before + text, self.finish) for index, before in enumerate(self.before)
        ]
        body = self._head | {"choices": choices}
        return body if style == "none" else body | {"usage": self.reported(style)}

    def chunks(self, style: str, *, asked: bool) -> Iterator[Chunk]:
        nothing = {"usage": None} if asked and style != "none" else {}
        for index, before in enumerate(self.before):
            for number, word in enumerate(self.words):
                text = before + word if number == 0 else " " + word
                yield None, self._head | {"choices": [_choice(index, text, None)]} | nothing
            yield None, self._head | {"choices": [_choice(index, "", self.finish)]} | nothing
        if style != "none" and (asked or style == "unasked"):
            for _ in range(2 if style == "duplicate" else 1):
                yield None, self._head | {"choices": [], "usage": self.reported(style)}


def compose_text(number: int, request: dict[str, Any], script: Script) -> TextAnswer:
    """Decide the words of every choice; the cap of the request is obeyed."""
    prompts = _prompts(request.get("prompt"))
    each = request.get("n") or 1
    cap = request.get("max_tokens")
    words, finish = chosen_words(script, _DEFAULT_CAP if cap is None else cap)
    made = len(words) * len(prompts) * max(each, request.get("best_of") or 1)
    given = sum(count_ids(prompt) for prompt in prompts)
    before = [
        prompt if request.get("echo") and isinstance(prompt, str) else ""
        for prompt in prompts
        for _ in range(each)
    ]
    usage = usage_of(script, given, made)
    return TextAnswer(number, str(request.get("model")), words, finish, usage, before=tuple(before))


def _prompts(prompt: Any) -> list[Any]:
    one = isinstance(prompt, str) or (prompt and isinstance(prompt[0], int))
    return [prompt] if one else list(prompt)


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
