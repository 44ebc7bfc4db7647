"""The kinds of single values in farebox.toml: each reads one TOML value or raises Wrong."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from math import gcd
from typing import Any, Protocol
from urllib.parse import urlsplit

from libs.catalogue.errors import Wrong

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h)")
_SIZE = re.compile(r"([0-9]+)(B|KiB|MiB|GiB)")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_SIZE_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Reader(Protocol):
    @property
    def form(self) -> str:
        """How the value is written, for the reference page."""

    def read(self, raw: object) -> Any:
        """The value in its own terms; Wrong when it cannot be read."""


def kind_of(raw: object) -> str:
    """What a TOML value is, in words a person who wrote the file uses."""
    if isinstance(raw, bool):
        return f"the boolean {str(raw).lower()}"
    if isinstance(raw, int | float):
        return f"the number {raw}"
    if isinstance(raw, str):
        return f'the text "{raw}"'
    if isinstance(raw, list):
        return "a list"
    return "a table" if isinstance(raw, dict) else f"the date or time {raw}"


def _text(raw: object, example: str) -> str:
    if not isinstance(raw, str):
        raise Wrong(f'is {kind_of(raw)}; write a string, like "{example}"')
    return raw


@dataclass(frozen=True, slots=True)
class Text:
    """A string of a given pattern."""

    pattern: str
    form: str
    example: str

    def read(self, raw: object) -> str:
        text = _text(raw, self.example)
        if not re.fullmatch(self.pattern, text):
            raise Wrong(f'"{text}" is not {self.form}; write it like "{self.example}"')
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; `later` words belong to the grammar but are not built yet."""

    words: tuple[str, ...]
    later: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        return " or ".join(f'"{word}"' for word in self.words)

    def read(self, raw: object) -> str:
        text = _text(raw, self.words[0])
        if text in self.later:
            raise Wrong(f'"{text}" is not built yet in this version; use {self.form}')
        if text not in self.words:
            raise Wrong(f'"{text}" is not known; use {self.form}')
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer within bounds, both included."""

    low: int
    high: int

    @property
    def form(self) -> str:
        return f"integer, {self.low} to {self.high}"

    def read(self, raw: object) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise Wrong(f"is {kind_of(raw)}; write an integer from {self.low} to {self.high}")
        if not self.low <= raw <= self.high:
            raise Wrong(f"{raw} is out of bounds; write an integer from {self.low} to {self.high}")
        return raw


@dataclass(frozen=True, slots=True)
class Amount:
    """An exact amount as a decimal string; read as the same string without needless zeros."""

    places: int = 9
    form: str = "amount: decimal string"

    def read(self, raw: object) -> str:
        if not isinstance(raw, str):
            number = isinstance(raw, int | float) and not isinstance(raw, bool)
            example = str(raw) if number else "2.00"
            raise Wrong(f'is {kind_of(raw)}; amounts are strings, exact: write "{example}"')
        match = _DECIMAL.fullmatch(raw)
        if match is None or len(raw) > 30:
            raise Wrong(f'"{raw}" is not an amount; write digits and a point, like "2.00"')
        whole, fraction = match[1], (match[2] or "").rstrip("0")
        if len(fraction) > self.places:
            raise Wrong(f'"{raw}" is too fine; at most {self.places} decimals are exact here')
        return f"{whole}.{fraction}" if fraction else whole


@dataclass(frozen=True, slots=True)
class PerMillion:
    """A price per million tokens, read as integer pico per token (six decimals are exact)."""

    form: str = "price per million tokens: decimal string, at most 6 decimals"

    def read(self, raw: object) -> int:
        whole, _, fraction = Amount(places=6).read(raw).partition(".")
        pico = int(whole + fraction.ljust(6, "0"))
        if pico > 10**12:
            raise Wrong(f'"{raw}" is out of bounds; at most "1000000" per million tokens')
        return pico


@dataclass(frozen=True, slots=True)
class PerPiece:
    """A price of one piece, read as integer pico (twelve decimals are exact)."""

    form: str = "price of one: decimal string, at most 12 decimals"

    def read(self, raw: object) -> int:
        whole, _, fraction = Amount(places=12).read(raw).partition(".")
        pico = int(whole + fraction.ljust(12, "0"))
        if pico > 10**18:
            raise Wrong(f'"{raw}" is out of bounds; at most "1000000" for one')
        return pico


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two whole numbers, read as the pair in lowest terms."""

    form: str = "ratio: [numerator, denominator], whole numbers from 1"

    def read(self, raw: object) -> tuple[int, int]:
        if not isinstance(raw, list) or len(raw) != 2:
            raise Wrong(f"is {kind_of(raw)}; write a ratio of two whole numbers, like [23, 25]")
        num, den = (Whole(1, 10**9).read(part) for part in raw)
        common = gcd(num, den)
        return num // common, den // common


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time, read as milliseconds."""

    low_ms: int
    high_ms: int
    step_ms: int = 1

    @property
    def form(self) -> str:
        whole = ", whole seconds" if self.step_ms == 1_000 else ""
        return f'duration: "250ms", "5s", "10m", "1h"{whole}'

    def read(self, raw: object) -> int:
        text = _text(raw, "60s")
        match = _DURATION.fullmatch(text)
        if match is None:
            raise Wrong(f'"{text}" is not a duration; write "250ms", "5s", "10m" or "1h"')
        ms = int(match[1]) * _DURATION_MS[match[2]]
        if not self.low_ms <= ms <= self.high_ms:
            raise Wrong(f'"{text}" is out of bounds; {self.low_ms} ms to {self.high_ms} ms')
        if ms % self.step_ms:
            raise Wrong(f'"{text}" is too fine; write whole seconds, like "{ms // 1000 + 1}s"')
        return ms


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes."""

    low: int
    high: int
    form: str = 'size: "512KiB", "8MiB"'

    def read(self, raw: object) -> int:
        text = _text(raw, "8MiB")
        match = _SIZE.fullmatch(text)
        if match is None:
            raise Wrong(f'"{text}" is not a size; write "512KiB" or "8MiB"')
        size = int(match[1]) * _SIZE_BYTES[match[2]]
        if not self.low <= size <= self.high:
            raise Wrong(f'"{text}" is out of bounds; {self.low} to {self.high} bytes')
        return size


@dataclass(frozen=True, slots=True)
class Url:
    """An http(s) address without query; read without its final slash."""

    form: str = "http or https address"

    def read(self, raw: object) -> str:
        text = _text(raw, "https://host.example/v1")
        fix = 'write it like "https://host.example/v1"'
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise Wrong(f'"{text}" is not an address ({error}); {fix}') from error
        if parts.scheme not in ("http", "https") or not host or not text.isprintable():
            raise Wrong(f'"{text}" is not an http or https address; {fix}')
        if parts.query or parts.fragment or "@" in parts.netloc or " " in text:
            raise Wrong(f'"{text}" holds more than host and path; {fix}')
        return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class Listen:
    """host:port to listen on, read as (host, port); port 0 takes a free one."""

    form: str = "host:port"

    def read(self, raw: object) -> tuple[str, int]:
        text = _text(raw, "127.0.0.1:8402")
        host, _, port = text.rpartition(":")
        fix = 'write it like "127.0.0.1:8402" or "[::1]:8402"'
        if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
            raise Wrong(f'"{text}" has no port from 0 to 65535; {fix}')
        if not _is_host(host):
            raise Wrong(f'"{text}" has no valid host; {fix}')
        return host.strip("[]"), int(port)


def _is_host(host: str) -> bool:
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        return ip_address(host.strip("[]")).version == (6 if bracketed else 4)
    except ValueError:
        digits_only = re.fullmatch(r"[0-9.]+", host)
        return not bracketed and not digits_only and bool(_HOST_NAME.fullmatch(host))


@dataclass(frozen=True, slots=True)
class KeyEnv:
    """The environment variable that holds an upstream's key."""

    form: str = "name of an environment variable"

    def read(self, raw: object) -> str:
        text = _text(raw, "FAREBOX_UPSTREAM_NORTH_KEY")
        fix = 'name it "FAREBOX_UPSTREAM_<NAME>_KEY"'
        if text == "OPENAI_API_KEY":
            raise Wrong(f'"{text}" is the customer\'s own variable; {fix}')
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", text):
            raise Wrong(f'"{text}" is not a name of capitals, digits and _; {fix}')
        ours = re.fullmatch(r"FAREBOX_UPSTREAM_[A-Z0-9_]+_KEY", text)
        if text.startswith("FAREBOX_") and not ours:
            # Else a slip would hand one of our own secrets to somebody else's server.
            raise Wrong(f'"{text}" is one of Farebox\'s own variables; {fix}')
        return text
