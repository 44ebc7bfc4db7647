"""What all tables of the ledger share."""

from libs.runtime.tables import schema

SCHEMA = "ledger"
PARTITION_SIZE = 2_000_000
"""Positions in one range of `events`; the partition is named by the first: events_2000000."""

metadata = schema(SCHEMA)

INSERT_ONLY = {
    "autovacuum_vacuum_insert_scale_factor": 0,
    "autovacuum_vacuum_insert_threshold": 500_000,
    "autovacuum_freeze_min_age": 0,
}
"""Rows that never change are frozen half a million at a time, soon after they came: else all of
them wait for the day when transaction ids run out, and are read and written again at once."""
CHURNING = {
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_cost_limit": 2000,
}
"""Rows that change with every request: vacuumed before a fiftieth is dead, at ten times the
pace."""
