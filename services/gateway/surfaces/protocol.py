"""What a surface is: one dialect in which clients buy model calls.

Adding a surface is adding a file with a class like this and naming it in `services.gateway.asgi`.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from services.gateway.errors import Refusal
from services.gateway.estimate import Bound
from services.gateway.meter import Meter
from services.gateway.offers import Offer


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request that was understood: everything in it is known not to escape the bound."""

    fields: dict[str, Any]
    compact: bytes
    """The fields as JSON again: of two equal names only one is left, for us and the upstream."""
    size: int
    """Bytes that bound the tokens of the input."""
    model: str
    stream: bool
    choices: int
    asked: int | None
    """The client's own cap of output tokens for each choice."""
    tools: bool
    """Whether the provider may add hidden text for tools or schemas."""


class Surface(Protocol):
    """One dialect: its place, its requests, its answers, its errors.

    One that tells rates in other headers than OpenAI's has `rate_headers` too, a function of
    `services.gateway.limits.headers`.
    """

    name: str
    path: str
    upstream_path: str

    def parse(self, raw: bytes) -> Parsed:
        """Understand a request body.

        Raises:
            Refusal: 400 malformed, or a field that changes the price and cannot be bounded.
        """
        ...

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        """The most this request can cost."""
        ...

    def prepare(self, parsed: Parsed, model: str, cap: int) -> bytes:
        """The body for the upstream: its own model name, and the cap that was reserved."""
        ...

    def meter(self, parsed: Parsed) -> Meter: ...

    def error_body(self, refusal: Refusal) -> bytes: ...

    def error_event(self, refusal: Refusal) -> bytes: ...
