"""All messages of a batch into a JetStream stream, or none (NATS ADR-50).

nats-py knows the headers but has no publisher for it. The stream must have `allow_atomic`.
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import nats.errors
import orjson
from nats.aio.client import Client

from libs.runtime.errors import PublishUnknown, WrongLastSequence

__all__ = ["MAX_BATCH", "PublishUnknown", "WrongLastSequence", "publish_atomic"]

MAX_BATCH: Final = 1000
"""Messages the server takes in one batch."""
WAIT_S: Final = 5.0
WRONG_LAST_SEQUENCE: Final = 10071


async def publish_atomic(
    nc: Client, messages: Sequence[tuple[str, bytes]], expected_last: int
) -> int:
    """Publish (subject, body) pairs as one batch after sequence `expected_last`.

    Returns the sequence of the last message.

    Raises:
        ValueError: no message, or more than MAX_BATCH.
        WrongLastSequence: the stream's last sequence is another one.
        PublishUnknown: the outcome is not known.
    """
    if not 1 <= len(messages) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} messages, not {len(messages)}")
    batch = uuid4().hex
    first = {"Nats-Expected-Last-Sequence": str(expected_last)}
    last = len(messages)
    try:
        for number, (subject, body) in enumerate(messages, start=1):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number == 1:
                headers |= first
            if number == last:
                headers["Nats-Batch-Commit"] = "1"
                return _committed(await _ask(nc, subject, body, headers), expected_last)
            if number == 1:
                _opened(await _ask(nc, subject, body, headers), expected_last)
            else:
                await nc.publish(subject, body, headers=headers)
    except nats.errors.Error as error:
        raise PublishUnknown(repr(error)) from error
    raise AssertionError("the last message commits")


async def _ask(nc: Client, subject: str, body: bytes, headers: dict[str, str]) -> bytes:
    reply = await nc.request(subject, body, timeout=WAIT_S, headers=headers)
    return bytes(reply.data)


def _opened(raw: bytes, expected: int) -> None:
    """The first message of several is answered by nothing, or by an error."""
    if raw:
        raise _refusal(orjson.loads(raw), expected)


def _committed(raw: bytes, expected: int) -> int:
    answer = orjson.loads(raw)
    if "error" in answer or "seq" not in answer:
        raise _refusal(answer, expected)
    return int(answer["seq"])


def _refusal(answer: dict[str, Any], expected: int) -> WrongLastSequence | PublishUnknown:
    error = answer.get("error") or {}
    if error.get("err_code") == WRONG_LAST_SEQUENCE:
        told = re.search(r"(\d+)$", str(error.get("description")))
        return WrongLastSequence(expected, int(told[1]) if told else None)
    return PublishUnknown(repr(answer), error.get("err_code"))
