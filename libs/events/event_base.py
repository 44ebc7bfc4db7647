"""What every event body is: the envelope around the data."""

from typing import Any

from libs.events.fields import (
    AnyStreamId,
    Balance,
    CallerId,
    First,
    Instant,
    Message,
    Name,
    Ordinal,
    Partition,
    Reference,
    Sha256,
    Traceparent,
)


class EventData(Message):
    """What happened."""


class MoneyData(EventData):
    """What happened to credits; balances of the account after it, nanos."""

    available: Balance
    reserved: Balance


class Event(Message):
    """A fact of one account, in the form that is stored, published and hashed."""

    type: str
    type_version: First = 1
    incarnation: Ordinal
    partition: Partition
    position: Ordinal
    account_id: AnyStreamId
    version: Ordinal
    occurred_at: Instant
    command_id: CallerId
    correlation_id: Reference
    causation: Reference | None
    traceparent: Traceparent | None
    prev: Sha256
    data: EventData


class UnknownEvent(Message):
    """An event of a type or version that this program does not know: the envelope only."""

    type: Name
    type_version: Ordinal
    incarnation: Ordinal
    partition: Partition
    position: Ordinal
    account_id: AnyStreamId
    version: Ordinal
    occurred_at: Instant
    command_id: CallerId
    correlation_id: Reference
    causation: Reference | None
    traceparent: Traceparent | None
    prev: Sha256
    data: dict[str, Any]
