import pytest

from libs.runtime.database import connect, pool
from libs.runtime.errors import DatabaseUnavailable
from libs.runtime.settings import Settings
from tests.support.settings import settings_for


@pytest.fixture(scope="module")
def settings(database):
    return settings_for(Settings, "ledger", database)


async def test_a_connection_is_of_the_processs_role_and_name(settings):
    named = settings.model_copy(update={"process_name": "ledger-1"})
    connection = await connect(named)
    try:
        assert await connection.fetchval("select current_user") == "farebox_ledger"
        assert await connection.fetchval("show application_name") == "ledger-1"
        assert await connection.fetchval("show timezone") == "UTC"
    finally:
        await connection.close()


async def test_a_lost_client_is_noticed_within_seconds(settings):
    connection = await connect(settings)
    try:
        shown = [
            await connection.fetchval(f"show {name}")
            for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        ]
        assert shown == ["5", "2", "3"]
        assert await connection.fetchval("show tcp_user_timeout") == "10000"  # ms
    finally:
        await connection.close()


async def test_the_callers_session_settings_win(settings):
    connection = await connect(
        settings, application_name="x", server_settings={"application_name": "y"}
    )
    try:
        assert await connection.fetchval("show application_name") == "y"
    finally:
        await connection.close()


async def test_a_pool_is_closed_on_the_way_out(settings):
    async with pool(settings, 2) as connections:
        assert await connections.fetchval("select 1") == 1
        assert connections.get_max_size() == 2
    assert connections.is_closing()


async def open_and_close(settings):
    await (await connect(settings)).close()


async def open_and_close_pool(settings):
    async with pool(settings, 1):
        pass


@pytest.mark.parametrize("use", [open_and_close, open_and_close_pool])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url: "", "FAREBOX_DATABASE_URL is not set"),
        (lambda url: "postgresql://a:secret@127.0.0.1:1/x", "cannot connect to PostgreSQL"),
        (lambda url: url.replace("farebox_ledger:", "farebox_ledger:wrong"), "farebox_ledger"),
        (lambda url: url.rpartition("/")[0] + "/absent", "absent"),
    ],
    ids=["not set", "not there", "wrong password", "no such database"],
)
async def test_what_is_wrong_is_said_without_the_password(settings, use, change, message):
    url = change(settings.database_url)
    with pytest.raises(DatabaseUnavailable, match=message) as caught:
        await use(settings.model_copy(update={"database_url": url}))
    assert "secret" not in str(caught.value)
    password = settings.database_url.partition("farebox_ledger:")[2].partition("@")[0]
    assert password not in str(caught.value)
