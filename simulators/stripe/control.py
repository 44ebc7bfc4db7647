"""What a test or the demo orders over HTTP: `POST /control/<what>` with a JSON body."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.stripe.app import FakeStripe

Order = dict[str, Any]


async def webhooks(fake: "FakeStripe", order: Order) -> Order:
    """Set any of url, secret, auto, copies, drop, shuffle_seed; answers what waits."""
    for name in ("url", "secret", "auto", "copies", "drop", "shuffle_seed"):
        if name in order:
            setattr(fake.webhooks.how, name, order[name])
    return {"waiting": [{"id": row["id"], "type": row["type"]} for row in fake.webhooks.waiting]}


async def deliver(fake: "FakeStripe", order: Order) -> Order:
    """Send what waits now: copies, shuffle_seed, event_ids."""
    return {"statuses": await fake.webhooks.deliver(**order)}


async def drop(fake: "FakeStripe", _order: Order) -> Order:
    """Lose what waits for delivery."""
    return {"dropped": fake.webhooks.drop()}


async def faults(fake: "FakeStripe", order: Order) -> Order:
    """Add a fault {method, path, kind, times}; an empty order clears all."""
    if order:
        fake.faults.add(**order)
    else:
        fake.faults.clear()
    return {}


async def cards(fake: "FakeStripe", order: Order) -> Order:
    """Make a saved payment method behave like a test token: {payment_method, token}."""
    fake.methods.behave_like(order["payment_method"], order["token"])
    return {}


async def complete(fake: "FakeStripe", order: Order) -> Order:
    """Pay a Checkout Session as its page would: {session, token}."""
    return fake.sessions.pay(order["session"], order.get("token", "pm_card_visa"))


async def settle(fake: "FakeStripe", order: Order) -> Order:
    """Settle a delayed payment: {session, paid}."""
    return fake.sessions.settle(order["session"], paid=order.get("paid", True))


async def clock(fake: "FakeStripe", order: Order) -> Order:
    """Move the clock forward: {advance_s}."""
    fake.offset_s += order["advance_s"]
    return {"now": int(fake.now())}


ORDERS: dict[str, Callable[["FakeStripe", Order], Awaitable[Order]]] = {
    "webhooks": webhooks,
    "webhooks/deliver": deliver,
    "webhooks/drop": drop,
    "faults": faults,
    "cards": cards,
    "sessions/complete": complete,
    "sessions/settle": settle,
    "clock": clock,
}
