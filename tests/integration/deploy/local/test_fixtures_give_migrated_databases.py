import asyncpg

from services.ledger.settings import LedgerSettings
from tests.support.database import PARTITIONS
from tests.support.settings import settings_for


async def test_each_role_enters_the_module_database_with_its_own_password(database):
    for role in ("owner", "ledger", "reader", "auditor", "payments", "recharge"):
        connection = await asyncpg.connect(database.dsn(role))
        try:
            assert await connection.fetchval("select current_user") == f"farebox_{role}"
            assert await connection.fetchval("select current_database()") == database.name
        finally:
            await connection.close()


async def test_the_template_s_migrations_are_in_the_module_database(database):
    connection = await asyncpg.connect(database.dsn("ledger"))
    try:
        assert await connection.fetchval("select count(*) from ledger.events") == 0
    finally:
        await connection.close()


def test_settings_for_a_process_hold_that_process_s_credentials_only(database):
    settings = settings_for(LedgerSettings, "ledger", database, expiry_grace_s=0.1)
    assert settings.database_url == database.dsn("ledger")
    assert settings.nats_password.get_secret_value() == database.stack.nats_password("ledger")
    assert settings.expiry_grace_s == 0.1
    assert settings.process_name == ""


async def test_streams_of_an_earlier_module_are_gone(nats_clean):
    assert nats_clean.nats.monitor("/jsz")["streams"] == 0


async def test_streams_are_provisioned_for_three_partitions(streams):
    assert streams.nats.monitor("/jsz")["streams"] == PARTITIONS + 2


def test_a_template_is_installed_with_three_partitions(database):
    assert database.sql("select partitions from ledger.installation") == str(PARTITIONS)
