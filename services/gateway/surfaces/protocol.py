"""What a surface is: one dialect in which clients buy model calls.

Adding a surface is adding a file with a class like this and naming it in `services.gateway.asgi`.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from libs.catalogue import Usage
from libs.catalogue.images import Size
from services.gateway.estimate import Bound
from services.gateway.exchange import ErrorShape
from services.gateway.keys import Headers
from services.gateway.meter import Meter
from services.gateway.offers import Candidate, Offer


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
    inputs: int = 1
    """How many texts it holds that may each be as long as the model takes."""
    images: tuple[Size | None, ...] = ()
    """The size of each image in it; None where that is not known."""
    hour_cache: bool = False
    """Whether it may write to a cache for an hour."""
    beside: int = 0
    """Output tokens of all choices together that no cap holds back."""


class Surface(ErrorShape, Protocol):
    """One dialect: its place, its requests, its answers, its errors.

    One that tells rates in other headers than OpenAI's has `rate_headers` too, a function of
    `services.gateway.limits.headers`.
    """

    name: str
    path: str
    shape: str
    """The shape of upstreams that speak this dialect: `shape` of farebox.toml."""
    upstream_path: str

    def parse(self, raw: bytes) -> Parsed:
        """Understand a request body.

        Raises:
            Refusal: 400 malformed, or a field that changes the price and cannot be bounded.
        """
        ...

    def bound(self, parsed: Parsed, offer: Offer) -> Bound:
        """The most this request can cost; raises Refusal when this offer has no price for it."""
        ...

    def prepare(self, parsed: Parsed, candidate: Candidate, cap: int) -> bytes:
        """The body for a candidate: its own model name, and the cap that was reserved."""
        ...

    def forwards(self, headers: Headers) -> dict[str, str]:
        """The client's headers that go on to the upstream.

        Raises:
            Refusal: one of them asks for what cannot be bounded.
        """
        ...

    def meter(self, parsed: Parsed) -> Meter: ...

    def ending(self, parsed: Parsed, meter: Meter, usage: Usage) -> bytes:
        """The events that end a stream now, as the provider itself ends one at its output cap.

        `usage` is what is charged: it is told where the client asked for it or expects it.
        """
        ...
