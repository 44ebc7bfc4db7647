"""The ledger's tables: the one definition.

Migrations are compared with it, column rights are granted by it, and the names of the read side
come from it. Amounts are integer nanos of the account's unit; uuid columns hold the uuid of the
id whose text form stands in messages.
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
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "ledger"
PARTITION_SIZE = 2_000_000
"""Positions in one range of `events`; the partition is named by the first: events_2000000."""

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

Time = DateTime(timezone=True)


def _column(name: str, kind: Any, *, null: bool = False, default: str | None = None) -> Column[Any]:
    """A column that must have a value unless said otherwise."""
    server_default = text(default) if default is not None else None
    return Column(name, kind, nullable=null, server_default=server_default)


installation = Table(
    "installation",
    metadata,
    _column("only", Boolean, default="true"),
    _column("partitions", SmallInteger),
    _column("incarnation", Integer, default="1"),
    _column("created_at", Time, default="now()"),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="only"),
    CheckConstraint("partitions > 0", name="partitions"),
)
"""One row: what was fixed when this installation was made."""

events = Table(
    "events",
    metadata,
    _column("partition", SmallInteger),
    _column("position", Big),
    _column("account_id", Uuid),
    _column("version", Big),
    _column("type", SmallInteger),
    _column("body", LargeBinary),
    _column("hash", LargeBinary),
    PrimaryKeyConstraint("partition", "position"),
    postgresql_partition_by="RANGE (position)",
)
"""The log. `body` is the canonical bytes that were hashed; nothing here is ever changed."""

commands = Table(
    "commands",
    metadata,
    _column("caller_id", Uuid),
    _column("kind", SmallInteger),
    _column("account_id", Uuid),
    _column("position", Big),
    _column("event_count", SmallInteger),
    _column("fingerprint", LargeBinary),
    PrimaryKeyConstraint("caller_id", "kind", "account_id"),
)
"""Which events an accepted command wrote: `event_count` of them from `position` on."""

accounts = Table(
    "accounts",
    metadata,
    _column("account_id", Uuid),
    _column("partition", SmallInteger),
    _column("unit", Text),
    _column("plan", Text),
    _column("status", Text),
    _column("available", Big),
    _column("reserved", Big),
    _column("version", Big),
    _column("position", Big),
    _column("head", LargeBinary),
    _column("armed", Boolean, null=True),
    _column("next_expiry", Time, null=True),
    _column("state", LargeBinary),
    PrimaryKeyConstraint("account_id"),
    CheckConstraint("status in ('open', 'frozen', 'closed')", name="status"),
    CheckConstraint("available >= 0 and reserved >= 0", name="balance"),
    Index(
        "accounts_next_expiry_idx",
        "partition",
        "next_expiry",
        postgresql_where=text("next_expiry is not null"),
    ),
    postgresql_with={"fillfactor": 60},
)
"""Where each account stands now. No index on a column that a reservation changes."""

reservations = Table(
    "reservations",
    metadata,
    _column("reservation_id", Uuid),
    _column("partition", SmallInteger),
    _column("account_id", Uuid),
    _column("position", Big),
    _column("expires_at", Time),
    _column("amount", Big),
    _column("state", LargeBinary),
    PrimaryKeyConstraint("reservation_id"),
)
"""Open reservations only: inserted at open, deleted at close."""

api_keys = Table(
    "api_keys",
    metadata,
    _column("key_id", Uuid),
    _column("partition", SmallInteger),
    _column("account_id", Uuid),
    _column("secret_hash", LargeBinary),
    _column("purpose", Text),
    _column("prefix", Text),
    _column("allowed", ARRAY(Text), null=True),
    _column("cap_total", Big, null=True),
    _column("cap_day", Big, null=True),
    _column("cap_month", Big, null=True),
    _column("expires_at", Time, null=True),
    _column("lineage", Uuid),
    _column("rotates", Uuid, null=True),
    _column("status", Text),
    _column("position", Big),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("secret_hash"),
    CheckConstraint("status in ('active', 'revoked')", name="status"),
    Index(None, "account_id"),
)
"""Keys by the SHA-256 of their text; the text itself is stored nowhere."""

notes = Table(
    "notes",
    metadata,
    _column("note_id", Uuid),
    _column("account_id", Uuid),
    _column("kind", Text),
    _column("text", Text),
    _column("created_at", Time),
    PrimaryKeyConstraint("note_id"),
)
"""Free text by people, kept out of the log so that it can be erased."""

fee_entries = Table(
    "fee_entries",
    metadata,
    _column("partition", SmallInteger),
    _column("position", Big),
    _column("account_id", Uuid),
    _column("reservation_id", Uuid),
    _column("currency", Text),
    _column("minor", Big),
    _column("schedule", Text),
    PrimaryKeyConstraint("partition", "position"),
)
"""Fixed fees of invocations, in minor units, negative when given back. Never part of a balance."""

projection_positions = Table(
    "projection_positions",
    metadata,
    _column("projection", Text),
    _column("partition", SmallInteger),
    _column("position", Big),
    PrimaryKeyConstraint("projection", "partition"),
)
"""How far each projection has followed the log; written with its effects."""

entries = Table(
    "entries",
    metadata,
    _column("account_id", Uuid),
    _column("position", Big),
    _column("line", SmallInteger),
    _column("partition", SmallInteger),
    _column("occurred_at", Time),
    _column("type", Text),
    _column("amount", Big),
    _column("available", Big),
    _column("reserved", Big),
    _column("unit", Text),
    _column("res", Uuid, null=True),
    _column("grant_no", Integer, null=True),
    _column("key_id", Uuid, null=True),
    _column("operation", Text, null=True),
    _column("source", Text, null=True),
    _column("reason_code", Text, null=True),
    PrimaryKeyConstraint("account_id", "position", "line"),
)
"""The statement: every change of `available`, as docs/concepts/statement.md explains."""

requests = Table(
    "requests",
    metadata,
    _column("reservation_id", Uuid),
    _column("partition", SmallInteger),
    _column("account_id", Uuid),
    _column("key_id", Uuid),
    _column("operation", Text),
    _column("surface", Text),
    _column("model", Text, null=True),
    _column("status", SmallInteger, null=True),
    _column("state", Text),
    _column("reserved", Big),
    _column("charge", Big),
    _column("margin", Big),
    _column("cost_pico", Big, null=True),
    _column("released", Big),
    _column("refunded", Big),
    _column("loss", Big),
    _column("loss_kind", Text, null=True),
    _column("basis", Text, null=True),
    _column("usage", JSONB, null=True),
    _column("route", Text, null=True),
    _column("route_reason", Text, null=True),
    _column("attempts", JSONB, null=True),
    _column("finish", Text, null=True),
    _column("fee", JSONB, null=True),
    _column("tags", JSONB),
    _column("catalogue", Text, null=True),
    _column("opened_at", Time),
    _column("closed_at", Time, null=True),
    _column("opened_position", Big),
    _column("closed_position", Big, null=True),
    _column("available_after", Big, null=True),
    PrimaryKeyConstraint("reservation_id"),
    CheckConstraint("state in ('open', 'settled', 'released', 'expired')", name="state"),
    Index("requests_account_id_opened_position_idx", "account_id", text("opened_position desc")),
    postgresql_with={"fillfactor": 80},
)
"""The receipts: one row for every admitted request, whatever became of it."""

PROJECTIONS = (projection_positions, entries, requests)
