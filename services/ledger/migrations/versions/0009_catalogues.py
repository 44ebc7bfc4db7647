"""The catalogues that each partition sells by, and the text of each."""

from services.ledger.migrations.scripts import run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("""
create table ledger.published (
  partition smallint not null,
  hash text not null,
  position bigint not null,
  effective_from timestamptz not null,
  withdrawn_from timestamptz,
  primary key (partition, hash)
);
create table ledger.catalogues (
  hash text not null primary key,
  text text not null
);
grant select, insert on ledger.published, ledger.catalogues to farebox_ledger;
grant update (withdrawn_from) on ledger.published to farebox_ledger;
grant select on ledger.published, ledger.catalogues to farebox_reader, farebox_auditor;
""")


def downgrade() -> None:
    run("drop table ledger.published; drop table ledger.catalogues;")
