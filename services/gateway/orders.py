"""Who wants what, what it came to, and the three commands that say so to the ledger."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from libs.catalogue import Fee, Usage
from libs.events import fields
from libs.events.commands import (
    Attach,
    AttachData,
    Detach,
    DetachData,
    Extend,
    ExtendData,
    Release,
    ReleaseData,
    Reserve,
    ReserveData,
    Settle,
    SettleData,
)
from libs.events.fields import Attempt


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants what: the parts that all commands on one reservation share.

    `fee` is what the invocation costs beside its price, in its own ledger. `hold_ms` is for how
    long it is held at least, where that may be longer than for others. `affordable` tells the
    output cap that so many nanos would pay for, where the work has one. With `attached_to` it is a
    call under that reservation: it charges nothing, and `unit` is the catalogue's currency. With
    `once` another may be opening the same reservation: the first of them has it.
    """

    res: str
    account_id: str
    key_id: str
    unit: str
    operation: str
    surface: str
    at_deadline: Literal["release", "charge"]
    traceparent: str
    fee: Fee | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    hold_ms: int = 0
    affordable: Callable[[int], int] | None = field(default=None, compare=False, repr=False)
    attached_to: str | None = None
    once: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be charged: nanos of the account's unit; `cost_pico` what it cost us."""

    charge: int
    margin: int
    basis: Literal["actual", "estimate", "fixed"]
    cost_pico: int | None
    usage: Usage | None
    finish: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """How the request was served, for the record."""

    model: str | None
    route: str
    attempts: tuple[Attempt, ...]
    status: int | None
    route_reason: str = "only_route"


@dataclass(frozen=True, slots=True)
class Closed:
    """What the ledger confirmed, in nanos; nothing is known while the journal has it."""

    charge: int | None = None
    available: int | None = None


def reserve_command(
    order: Order, *, amount: int, at_least: int, hold_ms: int, catalogue: str, deadline: datetime
) -> Reserve | Attach:
    if order.attached_to is not None:
        return attach_command(order, amount=amount, hold_ms=hold_ms, deadline=deadline)
    return Reserve(
        caller_id=order.res,
        account_id=order.account_id,
        deadline=deadline,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=ReserveData(
            key_id=order.key_id,
            operation=order.operation,
            surface=order.surface,
            amount=amount,
            at_least=at_least,
            hold_ms=max(hold_ms, order.hold_ms),
            at_deadline=order.at_deadline,
            catalogue=catalogue,
            fee=None if order.fee is None else fields.Fee(**asdict(order.fee)),
            tags=dict(order.tags),
            once=order.once,
        ),
    )


def attach_command(order: Order, *, amount: int, hold_ms: int, deadline: datetime) -> Attach:
    return Attach(
        caller_id=f"attach:{order.res}",
        account_id=order.account_id,
        deadline=deadline,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=AttachData(
            res=str(order.attached_to), call_id=order.res, cost_bound=amount, hold_ms=hold_ms
        ),
    )


def _detach(order: Order, cost: int, usage: Usage | None, served: Served | None) -> Detach:
    return Detach(
        caller_id=f"detach:{order.res}",
        account_id=order.account_id,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=DetachData(
            res=str(order.attached_to),
            call_id=order.res,
            cost=cost,
            usage={} if usage is None else usage.counts(),
            model=None if served is None else served.model,
            route=None if served is None else served.route,
        ),
    )


def extend_command(
    order: Order, number: int, *, total: int, used: int, hold_ms: int, deadline: datetime
) -> Extend:
    assert order.attached_to is None, "an attached call holds what it was attached with"
    return Extend(
        caller_id=f"extend:{order.res}:{number}",
        account_id=order.account_id,
        deadline=deadline,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=ExtendData(res=order.res, total=total, hold_ms=hold_ms, used_so_far=used),
    )


def settle_command(order: Order, settlement: Settlement, served: Served) -> Settle | Detach:
    usage = settlement.usage
    if order.attached_to is not None:
        return _detach(order, settlement.charge, usage, served)
    return Settle(
        caller_id=order.res,
        account_id=order.account_id,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=SettleData(
            res=order.res,
            charge=settlement.charge,
            margin=settlement.margin,
            basis=settlement.basis,
            cost_pico=settlement.cost_pico,
            usage={} if usage is None else usage.counts(),
            model=served.model,
            route=served.route,
            route_reason=served.route_reason,
            attempts=served.attempts,
            finish=settlement.finish,
            status=served.status,
        ),
    )


def release_command(
    order: Order,
    reason: str,
    served: Served | None = None,
    *,
    reserve_deadline: datetime | None = None,
) -> Release | Detach:
    """Everything back; with `reserve_deadline` the Reserve itself may not have arrived yet."""
    if order.attached_to is not None:
        return _detach(order, 0, None, served)
    return Release(
        caller_id=order.res,
        account_id=order.account_id,
        correlation_id=order.res,
        traceparent=order.traceparent,
        data=ReleaseData(
            res=order.res,
            reserve_deadline=reserve_deadline,
            reason_code=reason,
            route=None if served is None else served.route,
            attempts=() if served is None else served.attempts,
            status=None if served is None else served.status,
        ),
    )
