"""Messages to bytes and back. Decoding never raises for bytes: what is wrong comes as Malformed."""

import re
from collections.abc import Iterable
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from libs.events.caller_ids import caller_id_problem
from libs.events.command_rules import rule_problem
from libs.events.commands import COMMANDS, Command
from libs.events.event_base import UnknownEvent
from libs.events.events import EVENTS, Event
from libs.events.fields import MAX_MESSAGE, MAX_PUBLISH
from libs.events.replies import REPLIES, Reply
from libs.events.upcasters import NEWEST, UpcastError, newest

CANONICAL: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_UNPRINTABLE: Final = re.compile("[^ -~]")


class Malformed(NamedTuple):
    """Bytes that are not what they should be, and the first thing that is wrong with them."""

    error: str


def _one_of(models: Iterable[Any], tag: str) -> TypeAdapter[Any]:
    """Any one of the models, told apart by their tag before anything else is looked at."""
    union: Any = Annotated[reduce(or_, models), Field(discriminator=tag)]
    return TypeAdapter(union)


_commands: Final[TypeAdapter[Command]] = _one_of(COMMANDS.values(), "kind")
_read_command: Final = _commands.validator.validate_json  # spares a call in Python a command
_events: Final[TypeAdapter[Event]] = _one_of(EVENTS.values(), "type")
_envelopes: Final = TypeAdapter(UnknownEvent)
_replies: Final = TypeAdapter(Reply)


def decode_command(raw: bytes) -> Command | Malformed:
    """The command in these bytes. Every bound of its fields holds; every field was there."""
    if len(raw) > MAX_MESSAGE and not _may_be_long(raw):
        return Malformed(f"message of {len(raw)} bytes, at most {MAX_MESSAGE}")
    try:
        command: Command = _read_command(raw)
    except ValidationError as error:
        return Malformed(_first_problem(error))
    problem = _absent(command) or caller_id_problem(command) or rule_problem(command)
    return Malformed(problem) if problem else command


def encode_command(command: Command) -> bytes:
    """The bytes of a command; ValueError for one that no ledger would decode."""
    problem = caller_id_problem(command) or rule_problem(command)
    if problem:
        raise ValueError(f"{command.kind}: {problem}")
    raw = _commands.dump_json(command)
    if len(raw) > MAX_MESSAGE and not _may_be_long(raw):
        raise ValueError(f"{command.kind}: {len(raw)} bytes, at most {MAX_MESSAGE}")
    return raw


def _may_be_long(raw: bytes) -> bool:
    """Whether these are the bytes, as we write them, of the one command that carries a text."""
    return len(raw) <= MAX_PUBLISH and raw.startswith(b'{"kind":"PublishCatalogue"')


def canonical(body: dict[str, Any]) -> bytes:
    """The one form of a body that is stored, published and hashed: sorted keys, no blanks.

    The subset of RFC 8785 that has no floats. Raises TypeError for a float, for an integer that
    JSON readers would round, for keys or values that are not JSON.
    """
    _refuse_floats(body)
    return orjson.dumps(body, option=CANONICAL)


def decode_event(raw: bytes) -> dict[str, Any] | Malformed:
    """The body in these bytes, in the newest form of its type.

    Of a type and version we know, every field was checked; of others the envelope only, so that
    a reader may skip a type that it does not know. A newer version of a known type comes as it is:
    `newest` refuses it. Raises UpcastError, the one fault that may be ours and not the bytes'.
    """
    if len(raw) > MAX_MESSAGE:
        return Malformed(f"body of {len(raw)} bytes, at most {MAX_MESSAGE}")
    try:
        body = orjson.loads(raw)
        if not isinstance(body, dict):
            return Malformed("not an object")
        name, version = body.get("type"), body.get("type_version")
        known = NEWEST.get(name) if isinstance(name, str) else None
        if known is not None and version == known:
            _events.validate_json(raw)
            return body
        _envelopes.validate_json(raw)
    except orjson.JSONDecodeError as error:
        return Malformed(f"not JSON: {error}"[:300])
    except ValidationError as error:
        return Malformed(_first_problem(error))
    return _older(body) if known is not None and body["type_version"] < known else body


def _older(body: dict[str, Any]) -> dict[str, Any]:
    """A body of an older version, brought forward and then checked like any other."""
    body = newest(body)
    try:
        _events.validate_json(orjson.dumps(body))
    except ValidationError as error:
        raise UpcastError(f"{body['type']} after its steps: {_first_problem(error)}") from error
    return body


def load_event(raw: bytes) -> dict[str, Any]:
    """The body of an event that was stored, in its newest form and without any check of fields.

    Raises ValueError for what is no JSON or cannot be brought forward, TypeError or LookupError
    for JSON that is no event.
    """
    body: dict[str, Any] = newest(orjson.loads(raw))
    return body


def decode_reply(raw: bytes) -> Reply | Malformed:
    """The reply in these bytes; its data is not looked into."""
    try:
        reply = _replies.validate_json(raw)
    except ValidationError as error:
        return Malformed(_first_problem(error))
    return reply if reply.reply in REPLIES else Malformed(f"unknown reply {reply.reply[:40]!r}")


def encode_reply(reply: dict[str, Any]) -> bytes:
    """The bytes of a reply; TypeError for a float."""
    return canonical(reply)


def _first_problem(error: ValidationError) -> str:
    """One line about the first thing that is wrong, without what was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    words = "of no kind we know" if first["type"] == "union_tag_invalid" else first["msg"]
    return _UNPRINTABLE.sub("?", f"{place}: {words}" if place else words)[:300]


def _absent(command: Command) -> str | None:
    """The first field that was not sent: senders write every field, null where empty."""
    for message in (command, command.data):
        if len(message.__pydantic_fields_set__) != _field_count(type(message)):
            fields = type(message).model_fields
            here = message.model_fields_set | command.data.newer
            absent = next((name for name in fields if name not in here), None)
            if absent is not None:
                return f"{fields[absent].alias or absent}: field is absent"
    return None


@cache
def _field_count(cls: type[BaseModel]) -> int:
    return len(cls.model_fields)


def _refuse_floats(value: dict[str, Any] | Iterable[Any]) -> None:
    for part in value.values() if isinstance(value, dict) else value:
        kind = type(part)
        if kind is float:
            raise TypeError("a float in a body")
        if kind is dict or kind is list or kind is tuple:
            _refuse_floats(part)
