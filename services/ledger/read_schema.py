"""The tables of the read side: projections of the log, emptied and made again at will."""

from sqlalchemy import BigInteger as Big
from sqlalchemy import (
    CheckConstraint,
    Date,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.runtime.tables import Time, column
from services.ledger.schema_base import CHURNING, INSERT_ONLY, metadata

projection_positions = Table(
    "projection_positions",
    metadata,
    column("projection", Text),
    column("partition", SmallInteger),
    column("position", Big),
    PrimaryKeyConstraint("projection", "partition"),
)
"""How far each projection has followed the log; written with its effects."""

entries = Table(
    "entries",
    metadata,
    column("account_id", Uuid),
    column("position", Big),
    column("line", SmallInteger),
    column("partition", SmallInteger),
    column("occurred_at", Time),
    column("type", Text),
    column("amount", Big),
    column("available", Big),
    column("reserved", Big),
    column("unit", Text),
    column("res", Uuid, null=True),
    column("grant_no", Integer, null=True),
    column("key_id", Uuid, null=True),
    column("operation", Text, null=True),
    column("source", Text, null=True),
    column("reason_code", Text, null=True),
    PrimaryKeyConstraint("account_id", "position", "line"),
    postgresql_with=INSERT_ONLY,
)
"""The statement: every change of `available`, as docs/concepts/statement.md explains."""

requests = Table(
    "requests",
    metadata,
    column("reservation_id", Uuid),
    column("partition", SmallInteger),
    column("account_id", Uuid),
    column("key_id", Uuid),
    column("operation", Text),
    column("surface", Text),
    column("model", Text, null=True),
    column("status", SmallInteger, null=True),
    column("state", Text),
    column("reserved", Big),
    column("charge", Big),
    column("margin", Big),
    column("cost_pico", Big, null=True),
    column("released", Big),
    column("refunded", Big),
    column("loss", Big),
    column("loss_kind", Text, null=True),
    column("basis", Text, null=True),
    column("usage", JSONB, null=True),
    column("route", Text, null=True),
    column("route_reason", Text, null=True),
    column("attempts", JSONB, null=True),
    column("finish", Text, null=True),
    column("fee", JSONB, null=True),
    column("tags", JSONB),
    column("catalogue", Text, null=True),
    column("opened_at", Time),
    column("closed_at", Time, null=True),
    column("opened_position", Big),
    column("closed_position", Big, null=True),
    column("available_after", Big, null=True),
    column("calls", JSONB, null=True),
    PrimaryKeyConstraint("reservation_id"),
    CheckConstraint("state in ('open', 'settled', 'released', 'expired')", name="state"),
    Index("requests_account_id_opened_position_idx", "account_id", text("opened_position desc")),
    postgresql_with={"fillfactor": 80, **CHURNING},
)
"""The receipts: one row for every admitted request, whatever became of it."""

grants = Table(
    "grants",
    metadata,
    column("account_id", Uuid),
    column("grant_no", Integer),
    column("partition", SmallInteger),
    column("position", Big),
    column("grant_id", Uuid, null=True),
    column("source", Text),
    column("priority", SmallInteger),
    column("expires_at", Time, null=True),
    column("paid", JSONB, null=True),
    column("payment", Text, null=True),
    column("pack", Text, null=True),
    column("parent_no", Integer, null=True),
    column("reason_code", Text, null=True),
    column("granted_at", Time),
    column("granted", Big),
    column("available", Big),
    column("reserved", Big),
    column("charged", Numeric),
    column("refunded", Numeric),
    column("expired", Big),
    column("clawed", Big),
    column("moved", Big),
    column("shortfall", Big),
    PrimaryKeyConstraint("account_id", "grant_no"),
    postgresql_with={"fillfactor": 80, **CHURNING},
)
"""The statement by grant. What was charged and refunded again and again may outgrow a bigint."""

usage_daily = Table(
    "usage_daily",
    metadata,
    column("account_id", Uuid),
    column("day", Date),
    column("key_id", Uuid),
    column("operation", Text),
    column("model", Text),
    column("partition", SmallInteger),
    column("requests", Big),
    column("released", Big),
    column("charged", Numeric),
    column("margin", Numeric),
    column("cost_pico", Numeric),
    column("refunded", Numeric),
    column("usage", JSONB),
    PrimaryKeyConstraint("account_id", "day", "key_id", "operation", "model"),
    postgresql_with={"fillfactor": 80, **CHURNING},
)
"""What an account used on a UTC day, by key, operation and model (empty: it is no model's)."""

fees = Table(
    "fees",
    metadata,
    column("account_id", Uuid),
    column("position", Big),
    column("partition", SmallInteger),
    column("occurred_at", Time),
    column("res", Uuid),
    column("key_id", Uuid, null=True),
    column("operation", Text, null=True),
    column("currency", Text),
    column("schedule", Text),
    column("minor", Big),
    column("total", Big),
    PrimaryKeyConstraint("account_id", "position"),
    Index(None, "account_id", "currency", "schedule", "position"),
    postgresql_with=INSERT_ONLY,
)
"""The fees of an account, line by line, each with the sum so far of its currency and schedule."""

PROJECTIONS = (projection_positions, entries, requests, grants, usage_daily, fees)
