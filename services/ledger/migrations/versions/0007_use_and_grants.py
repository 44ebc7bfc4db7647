"""The statement by grant, what is used each day, and the fees as an account sees them."""

from services.ledger.migrations.scripts import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
create table ledger.grants (
  account_id uuid not null,
  grant_no integer not null,
  partition smallint not null,
  position bigint not null,
  grant_id uuid,
  source text not null,
  priority smallint not null,
  expires_at timestamptz,
  paid jsonb,
  payment text,
  pack text,
  parent_no integer,
  reason_code text,
  granted_at timestamptz not null,
  granted bigint not null,
  available bigint not null,
  reserved bigint not null,
  charged numeric not null,
  refunded numeric not null,
  expired bigint not null,
  clawed bigint not null,
  moved bigint not null,
  shortfall bigint not null,
  primary key (account_id, grant_no)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);

create table ledger.usage_daily (
  account_id uuid not null,
  day date not null,
  key_id uuid not null,
  operation text not null,
  model text not null,
  partition smallint not null,
  requests bigint not null,
  released bigint not null,
  charged numeric not null,
  margin numeric not null,
  cost_pico numeric not null,
  refunded numeric not null,
  usage jsonb not null,
  primary key (account_id, day, key_id, operation, model)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);

create table ledger.fees (
  account_id uuid not null,
  position bigint not null,
  partition smallint not null,
  occurred_at timestamptz not null,
  res uuid not null,
  key_id uuid,
  operation text,
  currency text not null,
  schedule text not null,
  minor bigint not null,
  total bigint not null,
  primary key (account_id, position)
) with (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 500000,
  autovacuum_freeze_min_age = 0);
create index fees_account_id_currency_schedule_position_idx
  on ledger.fees (account_id, currency, schedule, position);
"""

RIGHTS = """
grant select on ledger.grants, ledger.usage_daily, ledger.fees to farebox_reader, farebox_auditor;
grant insert, update, delete, truncate on ledger.grants, ledger.usage_daily, ledger.fees
  to farebox_reader;
"""


def upgrade() -> None:
    for script in (TABLES, RIGHTS):
        run(script)


def downgrade() -> None:
    run(
        "drop table ledger.grants; drop table ledger.usage_daily; drop table ledger.fees;"
        "delete from ledger.projection_positions"
        " where projection in ('grants', 'usage_daily', 'fees');"
    )
