"""Publishing a batch to a stream so that all of it is stored, or nothing (ADR-50 of NATS)."""

import re
from collections.abc import Sequence

import nats.errors
import orjson
from nats.aio.client import Client
from nats.nuid import NUID

from libs.runtime.errors import ConnectionLost, PublishUnknown, WrongLastSequence
from libs.runtime.framing import batched
from libs.runtime.joined import write_joined
from libs.runtime.permission_watch import PermissionWatch

__all__ = ["MAX_BATCH", "PublishUnknown", "WrongLastSequence", "publish_atomic"]

MAX_BATCH = 1000
"""Messages the server takes in one batch."""
ANSWER_S = 5.0

_WRONG_LAST_SEQUENCE = 10071
_ENDS_AT = re.compile(r"wrong last sequence: (\d+)")
_nuid = NUID()


async def publish_atomic(
    nc: Client,
    messages: Sequence[tuple[str, bytes]],
    expected_last: int,
    *,
    timeout_s: float = ANSWER_S,
    watch: PermissionWatch | None = None,
) -> int:
    """Append ``messages`` (subject, body) to a stream that ends at ``expected_last``.

    Returns the sequence of the last one, once the server has stored all of them.

    Raises:
        WrongLastSequence: the stream ends elsewhere; nothing was stored.
        PublishUnknown: no answer, or another refusal; read the stream's end before going on.
        PermissionDenied: only with ``watch``: this user may not publish there.
        ValueError: no messages, or more than ``MAX_BATCH``.
    """
    if not 0 < len(messages) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} messages, not {len(messages)}")
    if not nc.is_connected:
        raise PublishUnknown("not connected to NATS")
    batch_id = _nuid.next().decode()
    count = len(messages)
    first = {"Nats-Expected-Last-Sequence": str(expected_last)}
    commit = {
        "Nats-Batch-Id": batch_id,
        "Nats-Batch-Sequence": str(count),
        "Nats-Batch-Commit": "1",
    }
    if count == 1:
        commit |= first
    else:
        await write_joined(nc, batched(messages[:-1], batch_id, first))
    subject, body = messages[-1]
    try:
        async with (watch or PermissionWatch()).guard(subject):
            answer = await nc.request(subject, body, timeout=timeout_s, headers=commit)
    except (TimeoutError, nats.errors.Error, ConnectionLost) as error:
        raise PublishUnknown(f"no answer to a batch of {count}: {error!r}") from error
    return _sequence(answer.data, expected_last)


def _sequence(raw: bytes, expected_last: int) -> int:
    """Read the server's answer to the commit."""
    try:
        answer = orjson.loads(raw)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
    except (orjson.JSONDecodeError, AttributeError, KeyError) as problem:
        raise PublishUnknown(f"not an answer of JetStream: {raw[:100]!r}") from problem
    text, code = str(error.get("description")), error.get("err_code")
    if code == _WRONG_LAST_SEQUENCE:
        found = _ENDS_AT.search(text)
        raise WrongLastSequence(expected_last, int(found[1]) if found else None)
    raise PublishUnknown(f"batch refused: {text} ({code})", code)
