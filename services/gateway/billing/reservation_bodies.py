"""What is asked and answered at /billing/v1/reservations."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from libs.events import fields
from services.gateway.billing.receipts import AttachedCall
from services.gateway.fields import AmountText, Body, Money

_LONGEST_S: Final = 30 * 24 * 3600

Seconds = Annotated[int, Field(strict=True, ge=1, le=_LONGEST_S)]


class Create(Body):
    """Either an `operation` of the plan, at its price, or an `amount` of one's own.

    `at_least`: with an amount, the least that will do when less is available. `hold_s`: seconds
    until it expires. `at_deadline`: whether what it used is then charged, or all given back.
    """

    operation: fields.Name | None = None
    amount: AmountText | None = None
    at_least: AmountText | None = None
    hold_s: Seconds = 600
    at_deadline: Literal["release", "charge"] | None = None
    tags: fields.Tags = Field(default_factory=dict)


class Extension(Body):
    """`total`: what it shall hold, never less than now. `hold_s`: from now on."""

    total: AmountText
    hold_s: Seconds = 600
    used_so_far: AmountText = "0"


class Settlement(Body):
    """`charge`: what the work cost; left out, all that is held. `usage`: counts for the receipt."""

    charge: AmountText | None = None
    usage: fields.Usage = Field(default_factory=dict)


class Giving(Body):
    reason_code: fields.ReasonCode = "released"


class Reserved(BaseModel):
    """What is held until `expires_at`; amounts are decimal texts of `unit`."""

    reservation_id: str
    unit: str
    amount: str
    expires_at: str
    available: str
    position: int


class Closed(BaseModel):
    """What was charged, what came back, and what is available now."""

    reservation_id: str
    unit: str
    charge: str
    released: str
    available: str
    position: int


class Reservation(BaseModel):
    """`attached_cost`: what calls attached to it cost the operator, running ones at their bound."""

    reservation_id: str
    state: str
    operation: str | None
    unit: str
    reserved: str
    charge: str
    released: str
    tags: dict[str, Any] | None
    opened_at: str | None
    closed_at: str | None
    attached_cost: Money
    attached_calls: list[AttachedCall]
    as_of_position: int


class OpenReservation(BaseModel):
    """Key, operation and time of opening may be null for a moment."""

    reservation_id: str
    key_id: str | None
    operation: str | None
    amount: str
    unit: str
    opened_at: str | None
    expires_at: str


class OpenReservations(BaseModel):
    """A page in the order of the ids; `next` is the `after` of the next one, null on the last."""

    reservations: list[OpenReservation]
    next: str | None
    as_of_position: int
