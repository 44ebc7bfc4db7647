"""Orders, recharge attempts, the inbox, and who may do what."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table payments.customers (
  account_id text not null,
  customer text not null,
  payment_method text,
  updated_at timestamptz not null,
  primary key (account_id),
  constraint customers_customer_key unique (customer)
);

create table payments.orders (
  order_id text not null,
  account_id text not null,
  request_key text,
  unit text not null,
  pack text not null,
  credits bigint not null,
  currency text not null,
  price bigint not null,
  shelf_months integer,
  catalogue text not null,
  state text not null,
  customer text,
  session_id text,
  checkout_url text,
  payment_intent text,
  grant_id text,
  error text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (order_id),
  constraint orders_account_id_request_key_key unique (account_id, request_key),
  constraint orders_session_id_key unique (session_id),
  constraint orders_payment_intent_key unique (payment_intent),
  constraint orders_state_check
    check (state in ('created', 'open', 'credited', 'expired', 'failed', 'quarantined')),
  constraint orders_amounts_check check (credits > 0 and price > 0)
);
create index orders_account_id_created_at_idx on payments.orders (account_id, created_at);

create table payments.attempts (
  incarnation integer not null,
  partition smallint not null,
  position bigint not null,
  attempt_id text not null,
  account_id text not null,
  credits bigint not null,
  currency text not null,
  price bigint not null,
  started_at timestamptz not null,
  seen_at timestamptz not null,
  state text not null,
  frozen_at timestamptz,
  customer text,
  payment_method text,
  pack text,
  shelf_months integer,
  catalogue text,
  payment_intent text,
  failure_class text,
  failure_code text,
  grant_id text,
  tries integer not null default 0,
  due_at timestamptz not null,
  error text,
  primary key (incarnation, partition, position),
  constraint attempts_attempt_id_key unique (attempt_id),
  constraint attempts_payment_intent_key unique (payment_intent),
  constraint attempts_state_check
    check (state in ('open', 'credited', 'failed', 'quarantined'))
);
create index attempts_due_at_idx on payments.attempts (due_at) where state = 'open';

create table payments.positions (
  partition smallint not null,
  incarnation integer not null,
  position bigint not null,
  primary key (partition)
);

create table payments.inbox (
  event_id text not null,
  type text not null,
  object_id text not null,
  created timestamptz not null,
  livemode boolean not null,
  api_version text,
  payload bytea not null,
  source text not null,
  received_at timestamptz not null,
  state text not null,
  tries integer not null default 0,
  due_at timestamptz not null,
  done_at timestamptz,
  error text,
  primary key (event_id),
  constraint inbox_state_check check (state in ('new', 'done', 'ignored', 'quarantined')),
  constraint inbox_source_check check (source in ('webhook', 'reconcile'))
);
create index inbox_due_at_idx on payments.inbox (due_at) where state = 'new';
create index inbox_quarantined_idx on payments.inbox (received_at) where state = 'quarantined';

create table payments.reconciliations (
  "only" boolean not null default true constraint reconciliations_only_check check ("only"),
  listed_until timestamptz not null,
  primary key ("only")
);
"""

RIGHTS = """
revoke all on schema payments from public;
grant usage on schema payments to farebox_payments;
grant select, insert, update on payments.customers, payments.orders, payments.attempts,
  payments.positions, payments.inbox, payments.reconciliations to farebox_payments;
"""


def upgrade() -> None:
    connection = op.get_bind()
    for script in (TABLES, RIGHTS):
        for statement in filter(None, map(str.strip, script.split(";"))):
            connection.exec_driver_sql(statement)


def downgrade() -> None:
    op.execute("drop schema payments cascade")
