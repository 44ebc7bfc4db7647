"""What fell, what was asked, how far the events were read, and who may do what."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table recharge.positions (
      partition smallint not null,
      incarnation integer not null,
      position bigint not null,
      primary key (partition)
    )
    """,
    """
    create table recharge.fallen (
      account_id text not null,
      partition smallint not null,
      incarnation integer not null,
      position bigint not null,
      occurred_at timestamptz not null,
      seen_at timestamptz not null,
      state text not null
        constraint fallen_state_check check (state in ('watched', 'reported')),
      below_since timestamptz,
      look_at timestamptz not null,
      reason text,
      not_before timestamptz,
      room bigint,
      room_until timestamptz,
      primary key (account_id)
    )
    """,
    "create index fallen_look_at_idx on recharge.fallen (look_at)",
    """
    create table recharge.attempts (
      attempt_id text not null,
      account_id text not null,
      credits bigint not null,
      currency text not null,
      price bigint not null,
      trigger text not null,
      stored_at timestamptz not null,
      state text not null
        constraint attempts_state_check check (state in ('stored', 'started', 'refused')),
      deadline timestamptz not null,
      code text,
      decided_at timestamptz,
      primary key (attempt_id),
      constraint attempts_amounts_check check (credits > 0 and price > 0)
    )
    """,
    """
    create unique index attempts_one_stored_key on recharge.attempts (account_id)
      where state = 'stored'
    """,
    """
    create index attempts_account_id_stored_at_idx
      on recharge.attempts (account_id, stored_at)
    """,
    "revoke all on schema recharge from public",
    "grant usage on schema recharge to farebox_recharge",
    "grant select, insert, update on recharge.positions to farebox_recharge",
    "grant select, insert, update, delete on recharge.fallen to farebox_recharge",
    # What an attempt asked for is a record: only its course may be written down.
    "grant select, insert on recharge.attempts to farebox_recharge",
    "grant update (state, deadline, code, decided_at) on recharge.attempts to farebox_recharge",
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement)
