"""Where user namespaces are forbidden, root runs PostgreSQL as nobody, and says what is in the way."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from deploy.local import launch
from deploy.local.errors import LocalServerError
from deploy.local.postgres import Postgres
from tests.support.users import nobody_can_run_postgres


@pytest.fixture
def no_namespaces(monkeypatch):
    """What it is like in a container that forbids namespaces; an ordinary user needs neither."""
    monkeypatch.setattr(launch, "_namespaces_allowed", lambda: False)
    return os.geteuid() == 0


@pytest.fixture
def open_folder():
    folder = Path(tempfile.mkdtemp(prefix="farebox-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_it_starts_resumes_and_keeps_the_cluster_with_nobody(
    no_namespaces, open_folder, monkeypatch
):
    if no_namespaces and not nobody_can_run_postgres():
        with pytest.raises(LocalServerError, match="move the installation"):
            Postgres(open_folder / "pg", password="pw").start()
        return
    for _ in range(2):
        with Postgres(open_folder / "pg", password="pw") as postgres:
            postgres.sql("create table if not exists kept (n int)")
            postgres.sql("insert into kept values (1)")
        owner = (open_folder / "pg" / "data").stat().st_uid
        assert owner == (launch.NOBODY if no_namespaces else os.geteuid())
    # The folder decides from now on, also where a namespace could be had.
    monkeypatch.setattr(launch, "_namespaces_allowed", lambda: True)
    with Postgres(open_folder / "pg", password="pw") as postgres:
        assert postgres.sql("select count(*) from kept") == "2"


def test_a_folder_that_nobody_cannot_reach_is_named_and_left_as_it_was(no_namespaces, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = Postgres(closed / "pg", password="pw")
    if no_namespaces:
        with pytest.raises(LocalServerError, match=rf"{closed}/pg.*FAREBOX_HOME|move the install"):
            postgres.start()
    else:
        with postgres:
            assert postgres.sql("select 1") == "1"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
