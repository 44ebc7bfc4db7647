"""The ledger's tables: the one definition.

Migrations are compared with it, column rights are granted by it, and the names of the read side
come from it. Amounts are integer nanos of the account's unit; uuid columns hold the uuid of the
id whose text form stands in messages.
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
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.runtime.tables import Time, column
from services.ledger.read_schema import (
    PROJECTIONS,
    entries,
    fees,
    grants,
    requests,
    usage_daily,
)
from services.ledger.schema_base import (
    CHURNING,
    INSERT_ONLY,
    PARTITION_SIZE,
    SCHEMA,
    metadata,
)

installation = Table(
    "installation",
    metadata,
    column("only", Boolean, default="true"),
    column("partitions", SmallInteger),
    column("incarnation", Integer, default="1"),
    column("created_at", Time, default="now()"),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="only"),
    CheckConstraint("partitions > 0", name="partitions"),
)
"""One row: what was fixed when this installation was made."""

events = Table(
    "events",
    metadata,
    column("partition", SmallInteger),
    column("position", Big),
    column("account_id", Uuid),
    column("version", Big),
    column("type", SmallInteger),
    column("body", LargeBinary),
    column("hash", LargeBinary),
    PrimaryKeyConstraint("partition", "position"),
    postgresql_partition_by="RANGE (position)",
)
"""The log. `body` is the canonical bytes that were hashed; nothing here is ever changed.

Storage options stand on its ranges, set by the function that makes them (INSERT_ONLY): a
partitioned table has none.
"""

commands = Table(
    "commands",
    metadata,
    column("caller_id", Uuid),
    column("kind", SmallInteger),
    column("account_id", Uuid),
    column("position", Big),
    column("event_count", SmallInteger),
    column("fingerprint", LargeBinary),
    PrimaryKeyConstraint("caller_id", "kind", "account_id"),
    postgresql_with=INSERT_ONLY,
)
"""Which events an accepted command wrote: `event_count` of them from `position` on."""

accounts = Table(
    "accounts",
    metadata,
    column("account_id", Uuid),
    column("partition", SmallInteger),
    column("unit", Text),
    column("plan", Text),
    column("status", Text),
    column("available", Big),
    column("reserved", Big),
    column("version", Big),
    column("position", Big),
    column("head", LargeBinary),
    column("armed", Boolean, null=True),
    column("next_expiry", Time, null=True),
    column("state", LargeBinary),
    PrimaryKeyConstraint("account_id"),
    CheckConstraint("status in ('open', 'frozen', 'closed')", name="status"),
    CheckConstraint("available >= 0 and reserved >= 0", name="balance"),
    Index(
        "accounts_next_expiry_idx",
        "partition",
        "next_expiry",
        postgresql_where=text("next_expiry is not null"),
    ),
    postgresql_with={"fillfactor": 60, **CHURNING},
)
"""Where each account stands now. No index on a column that a reservation changes."""

reservations = Table(
    "reservations",
    metadata,
    column("reservation_id", Uuid),
    column("partition", SmallInteger),
    column("account_id", Uuid),
    column("position", Big),
    column("expires_at", Time),
    column("amount", Big),
    column("state", LargeBinary, null=True),
    PrimaryKeyConstraint("reservation_id"),
    postgresql_with={
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_threshold": 10_000,
        "autovacuum_vacuum_cost_limit": 2000,
    },
)
"""Open reservations only: inserted at open, deleted at close. `state` is null as long as the event
that opened the hold, at `position`, says all there is.

A small table with many dead rows, however many are open: vacuumed by their number.
"""

api_keys = Table(
    "api_keys",
    metadata,
    column("key_id", Uuid),
    column("partition", SmallInteger),
    column("account_id", Uuid),
    column("secret_hash", LargeBinary),
    column("purpose", Text),
    column("prefix", Text),
    column("allowed", ARRAY(Text), null=True),
    column("cap_total", Big, null=True),
    column("cap_day", Big, null=True),
    column("cap_month", Big, null=True),
    column("expires_at", Time, null=True),
    column("lineage", Uuid),
    column("rotates", Uuid, null=True),
    column("status", Text),
    column("position", Big),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("secret_hash"),
    CheckConstraint("status in ('active', 'revoked')", name="status"),
    Index(None, "account_id"),
)
"""Keys by the SHA-256 of their text; the text itself is stored nowhere."""

notes = Table(
    "notes",
    metadata,
    column("note_id", Uuid),
    column("account_id", Uuid),
    column("kind", Text),
    column("text", Text),
    column("created_at", Time),
    PrimaryKeyConstraint("note_id"),
)
"""Free text by people, kept out of the log so that it can be erased."""

fee_entries = Table(
    "fee_entries",
    metadata,
    column("partition", SmallInteger),
    column("position", Big),
    column("account_id", Uuid),
    column("reservation_id", Uuid),
    column("currency", Text),
    column("minor", Big),
    column("schedule", Text),
    PrimaryKeyConstraint("partition", "position"),
    Index("fee_entries_reservation_id_idx", "reservation_id", postgresql_where=text("minor < 0")),
    postgresql_with=INSERT_ONLY,
)
"""Fixed fees of invocations, in minor units, negative when given back. Never part of a balance."""

granted = Table(
    "granted",
    metadata,
    column("account_id", Uuid),
    column("grant_no", Integer),
    column("partition", SmallInteger),
    column("position", Big),
    column("source", Text),
    column("priority", SmallInteger),
    column("expires_at", Time, null=True),
    column("payment", Text, null=True),
    column("granted", Big),
    column("clawed", Big),
    column("shortfall", Big),
    column("causes", JSONB),
    PrimaryKeyConstraint("account_id", "grant_no"),
    CheckConstraint("clawed >= 0 and shortfall >= 0", name="claims"),
    Index(
        "granted_account_id_payment_idx",
        "account_id",
        "payment",
        postgresql_where=text("payment is not null"),
    ),
)
"""Every grant there was, and what claims took of it. `granted` is 0 for a child: its credits were
issued with its parent. Written by grants, child grants and clawbacks only."""

refunded = Table(
    "refunded",
    metadata,
    column("reservation_id", Uuid),
    column("partition", SmallInteger),
    column("account_id", Uuid),
    column("amount", Big),
    column("margin", Big),
    column("count", Integer),
    PrimaryKeyConstraint("reservation_id"),
    CheckConstraint("amount > 0", name="amount"),
)
"""What was given back of each charge that was refunded, in all; written by refunds only."""

published = Table(
    "published",
    metadata,
    column("partition", SmallInteger),
    column("hash", Text),
    column("position", Big),
    column("effective_from", Time),
    column("withdrawn_from", Time, null=True),
    PrimaryKeyConstraint("partition", "hash"),
)
"""The catalogues that a partition was told to sell by, and from when to when it does."""

catalogues = Table(
    "catalogues",
    metadata,
    column("hash", Text),
    column("text", Text),
    PrimaryKeyConstraint("hash"),
)
"""What each hash is the SHA-256 of; one row for all partitions."""

__all__ = [
    "INSERT_ONLY",
    "PARTITION_SIZE",
    "PROJECTIONS",
    "SCHEMA",
    "entries",
    "fees",
    "grants",
    "metadata",
    "requests",
    "usage_daily",
]


def is_defined(table: str) -> bool:
    """Whether a table is one of these; ranges of events are made by a function, ahead of need."""
    return not table.removeprefix("events_").isdecimal()
