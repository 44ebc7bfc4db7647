"""What a grant was after it is spent, what claims took of it, and what was refunded."""

from services.ledger.migrations.scripts import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
create table ledger.granted (
  account_id uuid not null,
  grant_no integer not null,
  partition smallint not null,
  position bigint not null,
  source text not null,
  priority smallint not null,
  expires_at timestamptz,
  payment text,
  granted bigint not null,
  clawed bigint not null,
  shortfall bigint not null,
  causes jsonb not null,
  primary key (account_id, grant_no),
  constraint granted_claims_check check (clawed >= 0 and shortfall >= 0)
);
create index granted_account_id_payment_idx on ledger.granted (account_id, payment)
  where payment is not null;

create table ledger.refunded (
  reservation_id uuid not null,
  partition smallint not null,
  account_id uuid not null,
  amount bigint not null,
  margin bigint not null,
  count integer not null,
  primary key (reservation_id),
  constraint refunded_amount_check check (amount > 0)
);
"""

# Type 9 is CreditsGranted. Before this revision nothing was refunded or clawed back by a claim.
FILL = """
insert into ledger.granted
select e.account_id, (d.data ->> 'grant_no')::int, e.partition, e.position, d.data ->> 'source',
  (d.data ->> 'priority')::smallint, (d.data ->> 'expires_at')::timestamptz, d.data ->> 'payment',
  (d.data ->> 'amount')::bigint, 0, 0, '{}'
from ledger.events e
cross join lateral (select convert_from(e.body, 'UTF8')::jsonb -> 'data' as data) d
where e.type = 9;
"""

RIGHTS = """
grant select, insert, update on ledger.granted, ledger.refunded to farebox_ledger;
grant select on ledger.granted, ledger.refunded to farebox_reader, farebox_auditor;
"""


def upgrade() -> None:
    for script in (TABLES, FILL, RIGHTS):
        run(script)


def downgrade() -> None:
    run("drop table ledger.granted; drop table ledger.refunded;")
