"""A hold whose event says all there is keeps no state of its own."""

from services.ledger.migrations.scripts import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("alter table ledger.reservations alter column state drop not null;")


def downgrade() -> None:
    run("alter table ledger.reservations alter column state set not null;")
