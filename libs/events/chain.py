"""The hash chain of one account: each body names the SHA-256 of the one before it."""

import hashlib
from typing import Any, Final

import orjson

GENESIS: Final = "0" * 64
"""`prev` of an account's first event."""


class BrokenLinkError(ValueError):
    """A body that does not follow the one before it.

    `field` is what differs (`body`, `prev` or `version`), with both values beside it.
    """

    def __init__(self, field: str, expected: object, found: object) -> None:
        super().__init__(f"{field} is {found!r}, expected {expected!r}")
        self.field = field
        self.expected = expected
        self.found = found


def body_hash(raw: bytes) -> bytes:
    """The 32 bytes that stand for a body."""
    return hashlib.sha256(raw).digest()


def verify_link(raw: bytes, expected_prev_hex: str, expected_version: int) -> bytes:
    """The hash of a body that follows where it should; BrokenLinkError when it does not."""
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BrokenLinkError("body", "JSON", str(error)) from None
    if not isinstance(body, dict):
        raise BrokenLinkError("body", "an object", type(body).__name__)
    if body.get("prev") != expected_prev_hex:
        raise BrokenLinkError("prev", expected_prev_hex, body.get("prev"))
    if body.get("version") != expected_version:
        raise BrokenLinkError("version", expected_version, body.get("version"))
    return body_hash(raw)
