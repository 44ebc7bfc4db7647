"""A receipt names the calls that ran under its reservation."""

from services.ledger.migrations.scripts import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("alter table ledger.requests add column calls jsonb;")


def downgrade() -> None:
    run("alter table ledger.requests drop column calls;")
