"""A parent that was killed may leave its servers on the way out; nobody starts beside them."""

import os

import pytest

from deploy.local import nats as nats_module
from deploy.local import postgres as postgres_module
from deploy.local.errors import LocalServerError
from deploy.local.nats import NatsServer
from deploy.local.postgres import Postgres
from deploy.nats.config import permissions


def postgres(folder):
    return Postgres(folder, password="pw")


def nats(folder):
    return NatsServer(folder, passwords=dict.fromkeys(permissions(), "pw"))


@pytest.fixture(params=[(postgres, postgres_module), (nats, nats_module)], ids=["postgres", "nats"])
def left(request, tmp_path, monkeypatch):
    """A running server whose folder lock went with its parent, and how to start another there."""
    make, module = request.param
    monkeypatch.setattr(module, "_PREDECESSOR_S", 0.3)
    running = make(tmp_path / "server")
    running.start()
    os.close(running._lock)
    running._lock = None
    yield running, make
    running.stop()


def test_a_second_server_does_not_start_beside_it_and_names_its_pid(left):
    running, make = left
    with pytest.raises(LocalServerError, match=rf"\(pid {running.pid}\) runs in {running.folder}"):
        make(running.folder).start()
    assert running.alive


def test_once_it_is_gone_the_folder_is_free(left):
    running, make = left
    running.kill()
    with make(running.folder) as second:
        assert second.alive
