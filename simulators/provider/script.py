"""What one answer shall look like: a test says it, the provider does it.

A script reaches the provider in three ways; the first that applies wins:

1. `POST /control/script` puts a rule into the queue (see `simulators.provider.control`);
2. the request header `x-sim-script` holds a script as JSON;
3. the request's text holds a directive such as `[[sim words=40 usage=none split_bytes=3]]`.
"""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

HEADER = "x-sim-script"
_DIRECTIVE = re.compile(r"\[\[sim\s+([^\]]*)\]\]")
_WORDS = re.compile(r"\b(\d{1,6}) words\b")
_FIRST = 1_048_576  # bytes of a request in which a directive is looked for

UsageStyle = Literal["normal", "none", "null", "zero", "duplicate", "unasked", "running", "brief"]


class Script(BaseModel):
    """One answer's behaviour; the defaults are a well-behaved provider.

    `usage`: normal (a stream reports only when asked), none (never), null (`"usage": null`),
    zero (all counts 0), duplicate (the usage chunk twice), unasked (a stream reports though
    nobody asked), running (every chunk carries the counts so far), brief (the end of an Anthropic
    stream reports output tokens alone).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: PositiveInt | None = None  # completion tokens it would like to send
    word_bytes: PositiveInt | None = None  # length of each word, for huge answers
    prompt_tokens: NonNegativeInt | None = None  # reported instead of the counted ones
    cached_tokens: NonNegativeInt = 0  # of the prompt tokens; never more than these
    cache_write_tokens: NonNegativeInt = 0  # of the rest of them (Anthropic)
    cache_write_1h_tokens: NonNegativeInt = 0  # of what is left then (Anthropic)
    tier: str | None = None  # reported as the service tier (Anthropic)
    geo: str | None = None  # reported as the place of inference (Anthropic)
    speed: str | None = None  # reported as the speed (Anthropic)
    tool: bool = False  # call the first tool that is offered (not in responses)
    ignore_cap: bool = False  # send more than max_tokens allows
    delay_ms: NonNegativeInt = 0  # before the first byte
    gap_ms: NonNegativeInt = 0  # between two chunks of a stream
    hold: bool = False  # no byte before POST /control/release
    hold_after_chunks: NonNegativeInt | None = None  # the same, in mid-stream
    status: int = Field(default=200, ge=200, le=599)  # from 400 on: an error body
    retry_after: str | None = None  # header of an error
    raw: str | None = None  # a whole answer's body, in place of the true one
    reset: bool = False  # the connection is reset before the first byte
    die_after_chunks: NonNegativeInt | None = None  # reset in mid-stream (JSON: in mid-body)
    error_after_chunks: NonNegativeInt | None = None  # an error event in mid-stream
    usage: UsageStyle = "normal"
    done: bool = True  # a stream ends with [DONE]
    crlf: bool = False  # lines of a stream end with CR LF
    split_bytes: PositiveInt | None = None  # the body is written in pieces of this size


def script_of(headers: Mapping[str, str], raw: bytes) -> Script:
    """Return the script a request carries in its header or text, else the default one.

    Without a directive, text such as "in 500 words" asks for an answer of that many words.
    Raises ValueError when the script cannot be understood.
    """
    if HEADER in headers:
        return Script.model_validate_json(headers[HEADER])
    text = raw[:_FIRST].decode(errors="replace")
    if directive := _DIRECTIVE.search(text):
        pairs = [part.partition("=") for part in directive[1].split()]
        return Script.model_validate({name: value or "true" for name, _, value in pairs})
    if asked := _WORDS.search(text):
        return Script(words=max(1, int(asked[1])))
    return Script()
