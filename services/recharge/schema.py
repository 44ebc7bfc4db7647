"""The tables of recharge: the one definition, which migrations are compared with.

Ids are their text, as in messages. Credits are nanos of the account's unit, prices are minor units
of the currency. Times are the ledger's.
"""

from typing import Any

from sqlalchemy import BigInteger as Big
from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

SCHEMA = "recharge"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)
Time = DateTime(timezone=True)


def _column(name: str, kind: Any, *, null: bool = False) -> Column[Any]:
    """A column that must have a value unless said otherwise."""
    return Column(name, kind, nullable=null)


positions = Table(
    "positions",
    metadata,
    _column("partition", SmallInteger),
    _column("incarnation", Integer),
    _column("position", Big),
    PrimaryKeyConstraint("partition"),
)
"""How far the ledger's events were read; written with their effects."""

fallen = Table(
    "fallen",
    metadata,
    _column("account_id", Text),
    _column("partition", SmallInteger),
    _column("incarnation", Integer),
    _column("position", Big),
    _column("occurred_at", Time),
    _column("seen_at", Time),
    _column("state", Text),
    _column("below_since", Time, null=True),
    _column("look_at", Time),
    _column("reason", Text, null=True),
    _column("not_before", Time, null=True),
    _column("room", Big, null=True),
    _column("room_until", Time, null=True),
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
    _column("attempt_id", Text),
    _column("account_id", Text),
    _column("credits", Big),
    _column("currency", Text),
    _column("price", Big),
    _column("trigger", Text),
    _column("stored_at", Time),
    _column("state", Text),
    _column("deadline", Time),
    _column("code", Text, null=True),
    _column("decided_at", Time, null=True),
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
