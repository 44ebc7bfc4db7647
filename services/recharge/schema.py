"""The tables of recharge: the one definition, which migrations are compared with.

Ids are their text, as in messages. Credits are nanos of the account's unit, prices are minor units
of the currency. Times are the ledger's.
"""

from sqlalchemy import BigInteger as Big
from sqlalchemy import (
    CheckConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from libs.runtime.tables import Time, column, schema

SCHEMA = "recharge"

metadata = schema(SCHEMA)


positions = Table(
    "positions",
    metadata,
    column("partition", SmallInteger),
    column("incarnation", Integer),
    column("position", Big),
    PrimaryKeyConstraint("partition"),
)
"""How far the ledger's events were read; written with their effects."""

fallen = Table(
    "fallen",
    metadata,
    column("account_id", Text),
    column("partition", SmallInteger),
    column("incarnation", Integer),
    column("position", Big),
    column("occurred_at", Time),
    column("seen_at", Time),
    column("state", Text),
    column("below_since", Time, null=True),
    column("look_at", Time),
    column("reason", Text, null=True),
    column("not_before", Time, null=True),
    column("room", Big, null=True),
    column("room_until", Time, null=True),
    PrimaryKeyConstraint("account_id"),
    CheckConstraint("state in ('watched', 'reported')", name="state"),
    Index("fallen_look_at_idx", "look_at"),
)
"""Accounts that fell below their threshold and are not armed again.

`position` names the event; `reason` is why nothing was asked at the last look; `room` is what a
cap was last known to leave until `room_until`. A `reported` row was too old when first seen.
"""

attempts = Table(
    "attempts",
    metadata,
    column("attempt_id", Text),
    column("account_id", Text),
    column("credits", Big),
    column("currency", Text),
    column("price", Big),
    column("trigger", Text),
    column("stored_at", Time),
    column("state", Text),
    column("deadline", Time),
    column("code", Text, null=True),
    column("decided_at", Time, null=True),
    PrimaryKeyConstraint("attempt_id"),
    CheckConstraint("state in ('stored', 'started', 'refused')", name="state"),
    CheckConstraint("credits > 0 and price > 0", name="amounts"),
    Index(
        "attempts_one_stored_key",
        "account_id",
        unique=True,
        postgresql_where=text("state = 'stored'"),
    ),
    Index("attempts_account_id_stored_at_idx", "account_id", "stored_at"),
)
"""Every attempt asked of the ledger, written before it is asked; what it asks never changes."""
