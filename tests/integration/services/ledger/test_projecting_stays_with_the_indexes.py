"""A run of events touches rows by key, whatever the planner believes of the tables."""

from datetime import UTC, datetime

from libs.events.ids import uuid7
from libs.runtime.database import connect
from services.ledger.projections.entries import Entry
from services.ledger.projections.projector import SQL, columns
from services.ledger.reader import POINT_LOOKUPS
from services.ledger.settings import ReaderSettings
from tests.support.settings import settings_for

RUN = 500


def lines():
    account, res = uuid7().hex, uuid7().hex
    at = datetime(2026, 11, 29, tzinfo=UTC)
    return [
        Entry(account, position, 0, 0, at, "charge", -1, 9, 0, res, None, None, None, None, None)
        for position in range(1, RUN + 1)
    ]


async def test_a_table_that_was_vacuumed_while_it_was_empty_is_not_read_whole(database):
    """It was: the planner kept all of it for each run, so that a rebuild took quadratic time."""
    database.sql("vacuum (analyze) ledger.requests; vacuum (analyze) ledger.accounts")
    settings = settings_for(ReaderSettings, "reader", database)
    connection = await connect(settings, server_settings=POINT_LOOKUPS)
    try:
        rows = await connection.fetch("explain " + SQL["save_entries"], *columns(lines()))
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert "Index Cond: (reservation_id = e.res)" in plan, plan
    assert "Index Cond: (account_id = e.account_id)" in plan, plan
    assert "Join Filter" not in plan, plan
