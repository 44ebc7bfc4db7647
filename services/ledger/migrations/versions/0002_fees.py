"""The fee ledger: what an invocation accrues beside its price, and what gives it back."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = """
create table ledger.fee_entries (
  partition smallint not null,
  position bigint not null,
  account_id uuid not null,
  reservation_id uuid not null,
  currency text not null,
  minor bigint not null,
  schedule text not null,
  primary key (partition, position)
)
"""
RIGHTS = (
    "grant select, insert on ledger.fee_entries to farebox_ledger",
    "grant select on ledger.fee_entries to farebox_reader, farebox_auditor",
)


def upgrade() -> None:
    op.execute(TABLE)
    for right in RIGHTS:
        op.execute(right)


def downgrade() -> None:
    op.execute("drop table ledger.fee_entries")
