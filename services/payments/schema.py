"""The tables of payments: the one definition, which migrations are compared with.

Ids are their text, as in messages. Prices are minor units of the currency, credits are nanos of
the account's unit. References into Stripe are ids only; card data is never here.
"""

from typing import Any

from sqlalchemy import BigInteger as Big
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA = "payments"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)
Time = DateTime(timezone=True)


def _column(name: str, kind: Any, *, null: bool = False, default: str | None = None) -> Column[Any]:
    """A column that must have a value unless said otherwise."""
    server_default = text(default) if default is not None else None
    return Column(name, kind, nullable=null, server_default=server_default)


def _states(*names: str) -> CheckConstraint:
    listed = ", ".join(f"'{name}'" for name in names)
    return CheckConstraint(f"state in ({listed})", name="state")


customers = Table(
    "customers",
    metadata,
    _column("account_id", Text),
    _column("customer", Text),
    _column("payment_method", Text, null=True),
    _column("updated_at", Time),
    PrimaryKeyConstraint("account_id"),
    UniqueConstraint("customer"),
)
"""Which Stripe customer an account is, and the payment method that may be charged later."""

orders = Table(
    "orders",
    metadata,
    _column("order_id", Text),
    _column("account_id", Text),
    _column("request_key", Text, null=True),
    _column("unit", Text),
    _column("pack", Text),
    _column("credits", Big),
    _column("currency", Text),
    _column("price", Big),
    _column("shelf_months", Integer, null=True),
    _column("catalogue", Text),
    _column("state", Text),
    _column("customer", Text, null=True),
    _column("session_id", Text, null=True),
    _column("checkout_url", Text, null=True),
    _column("payment_intent", Text, null=True),
    _column("grant_id", Text, null=True),
    _column("error", Text, null=True),
    _column("created_at", Time),
    _column("updated_at", Time),
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
    _column("incarnation", Integer),
    _column("partition", SmallInteger),
    _column("position", Big),
    _column("attempt_id", Text),
    _column("account_id", Text),
    _column("credits", Big),
    _column("currency", Text),
    _column("price", Big),
    _column("started_at", Time),
    _column("seen_at", Time),
    _column("state", Text),
    _column("frozen_at", Time, null=True),
    _column("customer", Text, null=True),
    _column("payment_method", Text, null=True),
    _column("pack", Text, null=True),
    _column("shelf_months", Integer, null=True),
    _column("catalogue", Text, null=True),
    _column("payment_intent", Text, null=True),
    _column("failure_class", Text, null=True),
    _column("failure_code", Text, null=True),
    _column("grant_id", Text, null=True),
    _column("tries", Integer, default="0"),
    _column("due_at", Time),
    _column("error", Text, null=True),
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
    _column("partition", SmallInteger),
    _column("incarnation", Integer),
    _column("position", Big),
    PrimaryKeyConstraint("partition"),
)
"""How far the ledger's events were read."""

inbox = Table(
    "inbox",
    metadata,
    _column("event_id", Text),
    _column("type", Text),
    _column("object_id", Text),
    _column("created", Time),
    _column("livemode", Boolean),
    _column("api_version", Text, null=True),
    _column("payload", LargeBinary),
    _column("source", Text),
    _column("received_at", Time),
    _column("state", Text),
    _column("tries", Integer, default="0"),
    _column("due_at", Time),
    _column("done_at", Time, null=True),
    _column("error", Text, null=True),
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
    _column("only", Boolean, default="true"),
    _column("listed_until", Time),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="only"),
)
"""Up to when Stripe's events were compared with the inbox."""
