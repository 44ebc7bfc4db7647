"""Vacuum by what each table lives through; docs/concepts/storage.md gives the reasons.

A range of the log takes its options when it is made, so the function that makes ranges sets them.
"""

from alembic import op

from services.ledger.migrations.scripts import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSERT_ONLY = (
    "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 500000, "
    "autovacuum_freeze_min_age = 0"
)
CHURNING = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000"
BY_NUMBER = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, "
    "autovacuum_vacuum_cost_limit = 2000"
)
OPTIONS = {
    "commands": INSERT_ONLY,
    "fee_entries": INSERT_ONLY,
    "entries": INSERT_ONLY,
    "accounts": CHURNING,
    "requests": CHURNING,
    "reservations": BY_NUMBER,
}

RANGES = f"""
create or replace function ledger.make_event_partitions(up_to bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  size constant bigint := 2000000;
  most constant int := 16;
  made int := 0;
  next_start bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended('ledger.make_event_partitions', 0));
  select coalesce(max(substring(c.relname from '^events_([0-9]+)$')::bigint) + size, 0)
    into next_start
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'ledger.events'::regclass;
  while next_start <= up_to and made < most loop
    execute format(
      'create table ledger.%1$I (like ledger.events including defaults including indexes)'
      ' with ({INSERT_ONLY})', 'events_' || next_start);
    execute format(
      'create trigger events_refuse_truncate before truncate on ledger.%1$I'
      ' for each statement execute function ledger.refuse_change()', 'events_' || next_start);
    execute format(
      'alter table ledger.events attach partition ledger.%1$I for values from (%2$s) to (%3$s)',
      'events_' || next_start, next_start, next_start + size);
    next_start := next_start + size;
    made := made + 1;
  end loop;
  return next_start;
end $$;

do $$
declare
  range text;
begin
  for range in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'ledger.events'::regclass
  loop
    execute format('alter table ledger.%I set ({INSERT_ONLY})', range);
  end loop;
end $$;
"""


def upgrade() -> None:
    for table, options in OPTIONS.items():
        op.execute(f"alter table ledger.{table} set ({options})")
    run(RANGES)


def downgrade() -> None:
    for table, options in OPTIONS.items():
        names = ", ".join(option.partition(" = ")[0] for option in options.split(", "))
        op.execute(f"alter table ledger.{table} reset ({names})")
