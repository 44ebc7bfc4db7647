"""The types of message fields: every bound a message has stands here.

Bounds are checked while decoding, before anything is decided, so that nothing that decodes can
make an append fail: amounts fit a bigint, texts hold no NUL, a body stays under 16 KiB.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema

from libs.events import times
from libs.events.money import MAX_AMOUNT, MAX_TOTAL

MAX_MESSAGE: Final = 16 * 1024
"""Bytes of a command, an event body or a reply, at most."""
MAX_CATALOGUE: Final = 512 * 1024
"""Characters of a catalogue's text, which are ASCII."""
MAX_PUBLISH: Final = 1000 * 1024
"""Bytes of the one command that carries such a text; NATS takes a little more."""
MAX_COUNT: Final = 2**53 - 1
"""The largest JSON number: every reader of JSON has it exactly."""
MAX_ALLOCATIONS: Final = 200

POSITIVE: Final = "^[1-9][0-9]{0,18}$"
UNSIGNED: Final = "^(?:0|[1-9][0-9]{0,18})$"
SIGNED: Final = "^(?:0|-?[1-9][0-9]{0,18})$"


class Digits:
    """An integer that travels as a digit string: checked, converted and bounded in Rust."""

    def __init__(self, pattern: str, lowest: int, highest: int) -> None:
        self.pattern = pattern
        self.lowest = lowest
        self.highest = highest

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        del source, handler
        text = core_schema.chain_schema(
            [
                core_schema.str_schema(pattern=self.pattern, strict=True),
                core_schema.int_schema(ge=self.lowest, le=self.highest, strict=False),
            ]
        )
        number = core_schema.int_schema(ge=self.lowest, le=self.highest, strict=True)
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([number, text], mode="left_to_right"),
            serialization=core_schema.to_string_ser_schema(when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        del schema, handler
        return {
            "type": "string",
            "pattern": self.pattern,
            "description": f"digit string, {self.lowest} to {self.highest}",
        }


class _Moment:
    """A moment that travels in exactly one text form, see `times`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        del source, handler
        text = core_schema.chain_schema(
            [
                core_schema.str_schema(pattern=times.PATTERN, strict=True),
                core_schema.datetime_schema(strict=False, tz_constraint="aware"),
            ]
        )
        moment = core_schema.datetime_schema(strict=True, tz_constraint="aware")
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([moment, text], mode="left_to_right"),
            serialization=core_schema.plain_serializer_function_ser_schema(
                times.to_text, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        del schema, handler
        return {"type": "string", "format": "date-time", "pattern": times.PATTERN}


Nanos = Annotated[int, Digits(POSITIVE, 1, MAX_AMOUNT)]
NanosOrZero = Annotated[int, Digits(UNSIGNED, 0, MAX_AMOUNT)]
SignedNanos = Annotated[int, Digits(SIGNED, -MAX_AMOUNT, MAX_AMOUNT)]
Balance = Annotated[int, Digits(UNSIGNED, 0, MAX_TOTAL)]
"""Nanos of a balance or a sum, up to what a bigint holds."""
SignedBalance = Annotated[int, Digits(SIGNED, -MAX_TOTAL, MAX_TOTAL)]
Pico = Annotated[int, Digits(UNSIGNED, 0, MAX_TOTAL)]
"""10^-12 of the price book's currency: what an upstream costs us."""
Instant = Annotated[datetime, _Moment()]

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
First = Annotated[int, Field(strict=True, ge=1, le=1)]
"""The version of a message's form; each later one gets a model of its own."""
Ordinal = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
Minor = Annotated[int, Field(strict=True, ge=0, le=10**15)]
"""An amount in a currency's smallest unit, as the card processor counts."""
Millis = Annotated[int, Field(strict=True, ge=0, le=30 * 24 * 3600 * 1000)]
Hold = Annotated[int, Field(strict=True, ge=1, le=30 * 24 * 3600 * 1000)]
Months = Annotated[int, Field(strict=True, ge=1, le=1200)]
Priority = Annotated[int, Field(strict=True, ge=-1000, le=1000)]
GrantNo = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Partition = Annotated[int, Field(strict=True, ge=0, le=2**15 - 1)]
Percent = Annotated[int, Field(strict=True, ge=1, le=100)]
HttpStatus = Annotated[int, Field(strict=True, ge=100, le=599)]


def _text(pattern: str) -> StringConstraints:
    return StringConstraints(strict=True, pattern=pattern)


AccountId = Annotated[str, _text("^acct_[0-9a-f]{32}$")]
KeyId = Annotated[str, _text("^key_[0-9a-f]{32}$")]
ReservationId = Annotated[str, _text("^req_[0-9a-f]{32}$")]
GrantId = Annotated[str, _text("^grant_[0-9a-f]{32}$")]
AttemptId = Annotated[str, _text("^rchg_[0-9a-f]{32}$")]
NoteId = Annotated[str, _text("^note_[0-9a-f]{32}$")]
StreamId = Annotated[str, _text("^part_(?:0|[1-9][0-9]{0,4})$")]
AnyStreamId = Annotated[str, _text("^(?:acct_[0-9a-f]{32}|part_(?:0|[1-9][0-9]{0,4}))$")]

CallerId = Annotated[str, _text("^[ -~]{1,128}$")]
Reference = Annotated[str, _text("^[ -~]{1,128}$")]
"""Printable ASCII that names something elsewhere: a payment, an event, a request."""
Name = Annotated[str, _text("^[ -~]{1,128}$")]
"""An operation, model, route, upstream, surface, plan or pack: printable ASCII."""
ShortName = Annotated[str, _text("^[ -~]{1,64}$")]
CallId = Annotated[str, _text("^[A-Za-z0-9_-]{1,64}$")]
Once = Annotated[str, _text("^[0-9a-f]{32}$")]
Traceparent = Annotated[str, _text("^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
Sha256 = Annotated[str, _text("^[0-9a-f]{64}$")]
ReasonCode = Annotated[str, _text("^[a-z0-9_.:-]{1,64}$")]
Unit = Annotated[str, _text("^(?:[A-Z]{3}|CREDIT)$")]
Currency = Annotated[str, _text("^[A-Z]{3}$")]
KeyPrefix = Annotated[str, _text("^[A-Za-z0-9_-]{1,24}$")]
Day = Annotated[str, _text("^2[0-9]{3}-[0-9]{2}-[0-9]{2}$")]
Month = Annotated[str, _text("^2[0-9]{3}-[0-9]{2}$")]
FreezeReason = Annotated[str, _text("^(?:manual|(?:dispute|warning):[A-Za-z0-9_]{1,64})$")]
ClawbackCause = Annotated[
    str, _text("^(?:adjustment|write_off|(?:refund|dispute):[A-Za-z0-9_]{1,64})$")
]
FreeText = Annotated[
    str, StringConstraints(strict=True, pattern="^[^\\x00]*$", min_length=1, max_length=1000)
]
"""Words of a person. Never in an event: they go to the erasable notes."""

CatalogueText = Annotated[
    str, StringConstraints(strict=True, pattern="^[ -~]+$", max_length=MAX_CATALOGUE)
]
"""What is sold and at which price: canonical JSON, of which a catalogue's hash is the SHA-256."""

Purpose = Literal["inference", "account", "service"]
Basis = Literal["total", "available"]
FailureClass = Literal["soft", "hard", "authentication", "abandoned"]
GrantSource = Literal[
    "initial",
    "admin",
    "import",
    "purchase",
    "recharge",
    "subscription",
    "reward",
    "x402",
    "child",
]

TagKey = Annotated[str, _text("^[a-z0-9_]{1,32}$")]
TagValue = Annotated[str, _text("^[ -~]{0,64}$")]
Tags = Annotated[dict[TagKey, TagValue], Field(max_length=8)]
UsageKey = Annotated[str, _text("^[A-Za-z0-9_.]{1,48}$")]
Usage = Annotated[dict[UsageKey, Count], Field(max_length=24)]
Allowed = Annotated[tuple[Name, ...], Field(max_length=50)]
Allocation = Annotated[tuple[tuple[GrantNo, Nanos], ...], Field(max_length=MAX_ALLOCATIONS)]
"""(grant number, nanos) pairs in the order they were taken, one for each grant."""


class Message(BaseModel):
    """Anything that travels: immutable, and nothing in it that the contract does not name.

    A model's own validator is made when it is first needed: most are only ever read as one of all
    commands, events or replies, and making each one's own too would take a tenth of every start.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


class Paid(Message):
    """What was paid, or is asked, for credits."""

    currency: Currency
    minor: Minor


class Fee(Message):
    """The fixed fee of an invocation: its own ledger, never part of a balance."""

    currency: Currency
    minor: Minor
    schedule: ShortName


class Consent(Message):
    """Which consent text was agreed to, and when."""

    text_hash: Sha256
    at: Instant


class Attempt(Message):
    """One try at an upstream while serving a request."""

    upstream: ShortName
    status: HttpStatus | None
    reason: ReasonCode | None


class Windows(Message):
    """The UTC day and month that a spending counts for."""

    day: Day
    month: Month


class Caps(Message):
    """Limits of automatic recharge, nanos of the price's currency."""

    charge: Nanos | None
    day: Nanos | None
    month: Nanos | None


class Child(Message):
    """The grant that a refund to an expired grant opens."""

    grant_id: GrantId
    grant_no: GrantNo
    parent_no: GrantNo
    expires_at: Instant | None


Attempts = Annotated[tuple[Attempt, ...], Field(max_length=16)]
Jsonable = Mapping[str, Any]
