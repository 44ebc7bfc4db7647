"""Events of a partition itself; their account_id is `part_<p>`."""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.event_base import Event, EventData
from libs.events.fields import Instant, Ordinal, ReasonCode, Sha256, StreamId


class CataloguePublishedData(EventData):
    hash: Sha256
    effective_from: Instant
    withdraws: Annotated[tuple[Sha256, ...], Field(max_length=64)]


class CataloguePublished(Event):
    type: Literal["CataloguePublished"] = "CataloguePublished"
    account_id: StreamId
    data: CataloguePublishedData


class IncarnationStartedData(EventData):
    incarnation: Ordinal
    first_position: Ordinal
    reason_code: ReasonCode


class IncarnationStarted(Event):
    type: Literal["IncarnationStarted"] = "IncarnationStarted"
    account_id: StreamId
    data: IncarnationStartedData
