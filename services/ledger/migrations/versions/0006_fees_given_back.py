"""A late settlement finds the fee that a refund gave back before it."""

from services.ledger.migrations.scripts import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        "create index fee_entries_reservation_id_idx on ledger.fee_entries (reservation_id)"
        " where minor < 0;"
    )


def downgrade() -> None:
    run("drop index ledger.fee_entries_reservation_id_idx;")
