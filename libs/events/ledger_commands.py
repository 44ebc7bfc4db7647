"""Commands of the ledger to itself, and of the operator to a whole partition."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from libs.events.command_base import ADMIN_ONLY, INTERNAL, CommandData, Undated
from libs.events.fields import (
    CatalogueText,
    GrantNo,
    Instant,
    Ordinal,
    ReservationId,
    Sha256,
    StreamId,
)


class PublishCatalogueData(CommandData):
    facts: ClassVar = ("hash", "effective_from", "withdraws")

    hash: Sha256
    effective_from: Instant
    withdraws: Annotated[tuple[Sha256, ...], Field(max_length=64)] = ()
    text: CatalogueText | None = None


class PublishCatalogue(Undated):
    """Make a catalogue known to one partition.

    `text` is what the hash is of; it is kept beside the log, once for all partitions. At a moment
    that is past already, `effective_from` is the moment of the event.
    """

    senders: ClassVar = ADMIN_ONLY
    caller_form: ClassVar = "catalogue:{hash}:{n}"

    kind: Literal["PublishCatalogue"] = "PublishCatalogue"
    account_id: StreamId
    data: PublishCatalogueData


class ExpireReservationData(CommandData):
    res: ReservationId


class ExpireReservation(Undated):
    """Close a hold that nobody settled in time."""

    senders: ClassVar = INTERNAL
    caller_form: ClassVar = "expire:{res}"

    kind: Literal["ExpireReservation"] = "ExpireReservation"
    data: ExpireReservationData


class ExpireGrantData(CommandData):
    grant_no: GrantNo


class ExpireGrant(Undated):
    """End what is left of a grant whose time is over."""

    senders: ClassVar = INTERNAL
    caller_form: ClassVar = "expire_grant:{account_id}:{grant_no}"

    kind: Literal["ExpireGrant"] = "ExpireGrant"
    data: ExpireGrantData


class StartIncarnationData(CommandData):
    """`first_position`: from there on the log may differ from what was published before."""

    incarnation: Ordinal
    first_position: Ordinal


class StartIncarnation(Undated):
    """Begin a new life of the partition's log, after a restore."""

    senders: ClassVar = INTERNAL
    caller_form: ClassVar = "incarnation:{incarnation}"

    kind: Literal["StartIncarnation"] = "StartIncarnation"
    account_id: StreamId
    data: StartIncarnationData
