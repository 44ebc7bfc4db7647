import nats
import pytest

from deploy.local.errors import LocalServerError
from deploy.local.nats import NatsServer
from deploy.nats.config import permissions
from tests.support.nats import Refusals


@pytest.mark.parametrize("password", ["123456", "1e5", "true", 'a "quoted" $word', "2s"])
async def test_a_password_is_never_read_as_a_number_or_a_variable(tmp_path, password):
    passwords = {**dict.fromkeys(permissions(), "other"), "admin": password}
    with NatsServer(tmp_path / "nats", passwords=passwords) as server:
        client = await nats.connect(
            server.url, user="admin", password=password, error_cb=Refusals().note
        )
        await client.close()


def test_a_user_without_a_password_is_named(tmp_path):
    passwords = dict.fromkeys(permissions(), "pw")
    del passwords["ledger"]
    with pytest.raises(LocalServerError, match="no password for ledger"):
        NatsServer(tmp_path / "nats", passwords=passwords)
