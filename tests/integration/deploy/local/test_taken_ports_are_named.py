import socket

import pytest

from deploy.local import server
from deploy.local.errors import LocalServerError
from deploy.local.nats import NatsServer
from deploy.local.postgres import Postgres
from deploy.nats.config import permissions


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def postgres(folder, port):
    return Postgres(folder, password="pw", port=port)


def nats(folder, port):
    return NatsServer(folder, passwords=dict.fromkeys(permissions(), "pw"), port=port)


@pytest.mark.parametrize("make", [postgres, nats])
def test_a_taken_port_is_named_and_nothing_keeps_running(make, taken, tmp_path):
    it = make(tmp_path / "server", taken)
    with pytest.raises(LocalServerError, match=rf"127\.0\.0\.1:{taken}.*taken by another process"):
        it.start()
    assert not it.alive


@pytest.mark.parametrize("make", [postgres, nats])
def test_a_free_port_that_was_lost_meanwhile_is_replaced(make, taken, tmp_path, monkeypatch):
    ports = [taken]
    free_port = server.free_port
    monkeypatch.setattr(server, "free_port", lambda: ports.pop() if ports else free_port())
    with make(tmp_path / "server", 0) as it:
        assert it.alive
        assert it.port != taken
