"""The log, the state beside it, the projections, and who may do what."""

from services.ledger.migrations.scripts import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table ledger.installation (
  "only" boolean not null default true constraint installation_only_check check ("only"),
  partitions smallint not null constraint installation_partitions_check check (partitions > 0),
  incarnation integer not null default 1,
  created_at timestamptz not null default now(),
  primary key ("only")
);

create table ledger.events (
  partition smallint not null,
  position bigint not null,
  account_id uuid not null,
  version bigint not null,
  type smallint not null,
  body bytea not null,
  hash bytea not null,
  primary key (partition, position)
) partition by range (position);

create table ledger.commands (
  caller_id uuid not null,
  kind smallint not null,
  account_id uuid not null,
  position bigint not null,
  event_count smallint not null,
  fingerprint bytea not null,
  primary key (caller_id, kind, account_id)
);

create table ledger.accounts (
  account_id uuid not null,
  partition smallint not null,
  unit text not null,
  plan text not null,
  status text not null
    constraint accounts_status_check check (status in ('open', 'frozen', 'closed')),
  available bigint not null,
  reserved bigint not null,
  version bigint not null,
  position bigint not null,
  head bytea not null,
  armed boolean,
  next_expiry timestamptz,
  state bytea not null,
  primary key (account_id),
  constraint accounts_balance_check check (available >= 0 and reserved >= 0)
) with (fillfactor = 60);
create index accounts_next_expiry_idx on ledger.accounts (partition, next_expiry)
  where next_expiry is not null;

create table ledger.reservations (
  reservation_id uuid not null,
  partition smallint not null,
  account_id uuid not null,
  position bigint not null,
  expires_at timestamptz not null,
  amount bigint not null,
  state bytea not null,
  primary key (reservation_id)
);

create table ledger.api_keys (
  key_id uuid not null,
  partition smallint not null,
  account_id uuid not null,
  secret_hash bytea not null,
  purpose text not null,
  prefix text not null,
  allowed text[],
  cap_total bigint,
  cap_day bigint,
  cap_month bigint,
  expires_at timestamptz,
  lineage uuid not null,
  rotates uuid,
  status text not null constraint api_keys_status_check check (status in ('active', 'revoked')),
  position bigint not null,
  primary key (key_id),
  constraint api_keys_secret_hash_key unique (secret_hash)
);
create index api_keys_account_id_idx on ledger.api_keys (account_id);

create table ledger.notes (
  note_id uuid not null,
  account_id uuid not null,
  kind text not null,
  text text not null,
  created_at timestamptz not null,
  primary key (note_id)
);

create table ledger.projection_positions (
  projection text not null,
  partition smallint not null,
  position bigint not null,
  primary key (projection, partition)
);

create table ledger.entries (
  account_id uuid not null,
  position bigint not null,
  line smallint not null,
  partition smallint not null,
  occurred_at timestamptz not null,
  type text not null,
  amount bigint not null,
  available bigint not null,
  reserved bigint not null,
  unit text not null,
  res uuid,
  grant_no integer,
  key_id uuid,
  operation text,
  source text,
  reason_code text,
  primary key (account_id, position, line)
);

create table ledger.requests (
  reservation_id uuid not null,
  partition smallint not null,
  account_id uuid not null,
  key_id uuid not null,
  operation text not null,
  surface text not null,
  model text,
  status smallint,
  state text not null
    constraint requests_state_check check (state in ('open', 'settled', 'released', 'expired')),
  reserved bigint not null,
  charge bigint not null,
  margin bigint not null,
  cost_pico bigint,
  released bigint not null,
  refunded bigint not null,
  loss bigint not null,
  loss_kind text,
  basis text,
  usage jsonb,
  route text,
  route_reason text,
  attempts jsonb,
  finish text,
  fee jsonb,
  tags jsonb not null,
  catalogue text,
  opened_at timestamptz not null,
  closed_at timestamptz,
  opened_position bigint not null,
  closed_position bigint,
  available_after bigint,
  primary key (reservation_id)
) with (fillfactor = 80);
create index requests_account_id_opened_position_idx
  on ledger.requests (account_id, opened_position desc);
"""

# A row trigger of the partitioned table is cloned to its partitions, a truncate trigger is not:
# without one on each partition its owner could empty it.
APPEND_ONLY = """
create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% of ledger.% is refused: the log is append-only', tg_op, tg_table_name
    using errcode = 'restrict_violation';
end $$;

create trigger events_refuse_change before update or delete on ledger.events
  for each row execute function ledger.refuse_change();
create trigger events_refuse_truncate before truncate on ledger.events
  for each statement execute function ledger.refuse_change();
"""

# Attaching takes a weaker lock on the log than "create table ... partition of", so the writer
# goes on while a range is made.
PARTITIONS = """
create function ledger.make_event_partitions(up_to bigint) returns bigint
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
      'create table ledger.%1$I (like ledger.events including defaults including indexes)',
      'events_' || next_start);
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
comment on function ledger.make_event_partitions(bigint) is
  'Makes the ranges of ledger.events that are missing up to a position, at most 16 a call, and '
  'returns the first position that has none.';

select ledger.make_event_partitions(2000000);
"""

RIGHTS = """
revoke all on schema ledger from public;
revoke all on function ledger.make_event_partitions(bigint) from public;
grant usage on schema ledger to farebox_ledger, farebox_reader, farebox_auditor;
grant execute on function ledger.make_event_partitions(bigint) to farebox_ledger;

grant select on ledger.installation to farebox_ledger;
grant select, insert on ledger.events, ledger.commands, ledger.notes to farebox_ledger;
grant select, insert, update on ledger.accounts, ledger.api_keys to farebox_ledger;
grant select, insert, update, delete on ledger.reservations to farebox_ledger;

grant select on ledger.installation, ledger.events, ledger.commands, ledger.notes,
  ledger.accounts, ledger.api_keys, ledger.reservations, ledger.projection_positions,
  ledger.entries, ledger.requests to farebox_reader, farebox_auditor;
grant insert, update, delete, truncate on ledger.projection_positions, ledger.entries,
  ledger.requests to farebox_reader;
"""


def upgrade() -> None:
    for script in (TABLES, APPEND_ONLY, PARTITIONS, RIGHTS):
        run(script)
