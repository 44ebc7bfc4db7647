"""Messages that no service could read, kept for thirty days: listed and read.

There is nothing to try again: bytes that are no event stay none, and who sent a command that is
none was told so. What a message should have been is found by its position in the log.
"""

from base64 import b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from libs.events.fields import MAX_COUNT
from libs.events.subjects import POSITION_HEADER
from libs.runtime.quarantine import ERROR_HEADER
from services.gateway.admin.context import TheAdmin
from services.gateway.admin.kept import Kept
from services.gateway.admin.roles import role
from services.gateway.pages import CSV, TheForm
from services.gateway.problems import Problem

router = APIRouter(prefix="/quarantine", tags=["quarantine"])

PAGE = 20


class Message(BaseModel):
    """`position` in the partition's log, null of a command; `error`: why it could not be read."""

    sequence: int
    service: str
    partition: int
    position: int | None
    error: str
    at: str
    size: int


class Messages(BaseModel):
    """A page, the oldest first; `next` is the `after` of the next one."""

    messages: list[Message]
    next: int | None


class WholeMessage(Message):
    """With its bytes: as text when they are UTF-8, and always in base64."""

    text: str | None
    base64: str


@router.get("", response_model=Messages, responses=CSV)
async def list_messages(
    admin: TheAdmin,
    form: TheForm,
    after: Annotated[int, Query(ge=0, le=MAX_COUNT)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = PAGE,
) -> Response | BaseModel:
    """What is in quarantine, the oldest first, without the bytes."""
    found: list[Kept] = []
    while len(found) <= limit:
        kept = await admin.quarantine.first_from((found[-1].sequence if found else after) + 1)
        if kept is None:
            break
        found.append(kept)
    page = [Message(**_facts(kept)) for kept in found[:limit]]
    following = page[-1].sequence if len(found) > limit else None
    return form.of(Messages(messages=page, next=following), "messages")


@router.get("/{sequence}", **role("support"))
async def read_message(
    admin: TheAdmin, sequence: Annotated[int, Path(ge=1, le=MAX_COUNT)]
) -> WholeMessage:
    """One message with its bytes."""
    kept = await admin.quarantine.first_from(sequence)
    if kept is None or kept.sequence != sequence:
        raise Problem(404, "unknown_message", "There is no message of this number any more.")
    try:
        text = kept.raw.decode()
    except UnicodeDecodeError:
        text = None
    return WholeMessage(**_facts(kept), text=text, base64=b64encode(kept.raw).decode())


def _facts(kept: Kept) -> dict[str, Any]:
    _, service, partition = kept.subject.split(".")
    position = kept.headers.get(POSITION_HEADER)
    return {
        "sequence": kept.sequence,
        "service": service,
        "partition": int(partition),
        "position": None if position is None else int(position),
        "error": kept.headers.get(ERROR_HEADER, ""),
        "at": kept.at,
        "size": len(kept.raw),
    }
