"""The tables of payments: the one definition, which migrations are compared with.

Ids are their text, as in messages. Prices are minor units of the currency, credits are nanos of
the account's unit. References into Stripe are ids only; card data is never here.
"""

from sqlalchemy import BigInteger as Big
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from libs.runtime.tables import Time, column, schema

SCHEMA = "payments"

metadata = schema(SCHEMA)


def _states(*names: str) -> CheckConstraint:
    listed = ", ".join(f"'{name}'" for name in names)
    return CheckConstraint(f"state in ({listed})", name="state")


customers = Table(
    "customers",
    metadata,
    column("account_id", Text),
    column("customer", Text),
    column("payment_method", Text, null=True),
    column("updated_at", Time),
    PrimaryKeyConstraint("account_id"),
    UniqueConstraint("customer"),
)
"""Which Stripe customer an account is, and the payment method that may be charged later."""

orders = Table(
    "orders",
    metadata,
    column("order_id", Text),
    column("account_id", Text),
    column("request_key", Text, null=True),
    column("unit", Text),
    column("pack", Text),
    column("credits", Big),
    column("currency", Text),
    column("price", Big),
    column("shelf_months", Integer, null=True),
    column("catalogue", Text),
    column("state", Text),
    column("customer", Text, null=True),
    column("session_id", Text, null=True),
    column("checkout_url", Text, null=True),
    column("payment_intent", Text, null=True),
    column("grant_id", Text, null=True),
    column("error", Text, null=True),
    column("created_at", Time),
    column("updated_at", Time),
    PrimaryKeyConstraint("order_id"),
    UniqueConstraint("account_id", "request_key"),
    UniqueConstraint("session_id"),
    UniqueConstraint("payment_intent"),
    _states("created", "open", "credited", "expired", "failed", "quarantined"),
    CheckConstraint("credits > 0 and price > 0", name="amounts"),
    Index(None, "account_id", "created_at"),
)
"""What was sold, written before Stripe hears of it: the measure of what is paid later."""

attempts = Table(
    "attempts",
    metadata,
    column("incarnation", Integer),
    column("partition", SmallInteger),
    column("position", Big),
    column("attempt_id", Text),
    column("account_id", Text),
    column("credits", Big),
    column("currency", Text),
    column("price", Big),
    column("started_at", Time),
    column("seen_at", Time),
    column("state", Text),
    column("frozen_at", Time, null=True),
    column("customer", Text, null=True),
    column("payment_method", Text, null=True),
    column("pack", Text, null=True),
    column("shelf_months", Integer, null=True),
    column("catalogue", Text, null=True),
    column("payment_intent", Text, null=True),
    column("failure_class", Text, null=True),
    column("failure_code", Text, null=True),
    column("grant_id", Text, null=True),
    column("tries", Integer, default="0"),
    column("due_at", Time),
    column("error", Text, null=True),
    PrimaryKeyConstraint("incarnation", "partition", "position"),
    UniqueConstraint("attempt_id"),
    UniqueConstraint("payment_intent"),
    _states("open", "credited", "failed", "quarantined"),
    Index("attempts_due_at_idx", "due_at", postgresql_where=text("state = 'open'")),
)
"""One charge off session for each RechargeStarted. What goes to Stripe is frozen at `frozen_at`."""

positions = Table(
    "positions",
    metadata,
    column("partition", SmallInteger),
    column("incarnation", Integer),
    column("position", Big),
    PrimaryKeyConstraint("partition"),
)
"""How far the ledger's events were read."""

inbox = Table(
    "inbox",
    metadata,
    column("event_id", Text),
    column("type", Text),
    column("object_id", Text),
    column("created", Time),
    column("livemode", Boolean),
    column("api_version", Text, null=True),
    column("payload", LargeBinary),
    column("source", Text),
    column("received_at", Time),
    column("state", Text),
    column("tries", Integer, default="0"),
    column("due_at", Time),
    column("done_at", Time, null=True),
    column("error", Text, null=True),
    PrimaryKeyConstraint("event_id"),
    _states("new", "done", "ignored", "quarantined"),
    CheckConstraint("source in ('webhook', 'reconcile')", name="source"),
    Index("inbox_due_at_idx", "due_at", postgresql_where=text("state = 'new'")),
    Index("inbox_quarantined_idx", "received_at", postgresql_where=text("state = 'quarantined'")),
)
"""What Stripe told us, as it came. The payload holds personal data: it may be cleared later."""

reconciliations = Table(
    "reconciliations",
    metadata,
    column("only", Boolean, default="true"),
    column("listed_until", Time),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="only"),
)
"""Up to when Stripe's events were compared with the inbox."""
