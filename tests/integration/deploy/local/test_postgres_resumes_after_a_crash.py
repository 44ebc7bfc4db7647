import os
import signal
import subprocess
import threading

import asyncpg
import pytest

from deploy.local.errors import LocalServerError
from deploy.local.postgres import Postgres
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("postgres")
    return Postgres(folder / "pg", password="pw", settings={"shared_buffers": "16MB"})


@pytest.fixture
def postgres(cluster):
    cluster.start()
    cluster.sql("drop table if exists kept")
    yield cluster
    cluster.stop()


def write(postgres, number):
    postgres.sql("create table if not exists kept (n int)")
    postgres.sql(f"insert into kept values ({number})")


def pid_file(postgres):
    return postgres.data / "postmaster.pid"


def name_pid(postgres, pid):
    lines = pid_file(postgres).read_text().splitlines()
    pid_file(postgres).write_text("\n".join([str(pid), *lines[1:]]) + "\n")


def test_what_was_committed_is_there_after_kill_9_on_the_same_port(postgres):
    write(postgres, 7)
    port = postgres.port
    postgres.kill()
    assert pid_file(postgres).exists()
    postgres.start()
    assert postgres.sql("select n from kept") == "7"
    assert postgres.port == port


def test_a_new_object_resumes_the_folder_after_an_ordered_stop(tmp_path):
    with Postgres(tmp_path / "pg", password="pw") as first:
        write(first, 1)
    with Postgres(tmp_path / "pg", password="pw") as second:
        write(second, 2)
        assert second.sql("select n from kept order by n") == "1\n2"


def test_a_left_over_pid_file_that_names_a_live_foreign_process_does_not_stop_the_start(postgres):
    write(postgres, 7)
    postgres.kill()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        name_pid(postgres, stranger.pid)
        postgres.start()
        assert postgres.sql("select n from kept") == "7"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "12", "not a number\n", "12\n/some/where\n"])
def test_a_half_written_pid_file_does_not_stop_the_start(postgres, content):
    write(postgres, 7)
    postgres.kill()
    pid_file(postgres).write_text(content)
    postgres.start()
    assert postgres.sql("select n from kept") == "7"


async def test_the_start_waits_for_backends_that_the_killed_server_left(postgres):
    """A stopped backend cannot notice that its server died: it holds the shared memory."""
    connection = await asyncpg.connect(postgres.dsn("postgres", "pw", "postgres"))
    backend = await connection.fetchval("select pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    postgres.kill()
    before = len(postgres.log.read_text())

    def free_the_memory():
        wait_until(lambda: "still in use" in postgres.log.read_text()[before:])
        os.kill(backend, signal.SIGKILL)

    killer = threading.Thread(target=free_the_memory)
    killer.start()
    try:
        postgres.start()
    finally:
        killer.join()
        connection.terminate()
    assert postgres.sql("select 1") == "1"


def test_an_interrupted_initdb_is_not_taken_for_a_cluster(tmp_path):
    rest = tmp_path / "pg" / "data.new-x" / "data"
    rest.mkdir(parents=True)
    (rest / "PG_VERSION").write_text("18\n")
    with Postgres(tmp_path / "pg", password="pw") as postgres:
        assert postgres.sql("select 1") == "1"


def test_one_folder_is_never_served_twice(postgres):
    with pytest.raises(LocalServerError, match=rf"{postgres.folder} is in use.*FAREBOX_HOME"):
        Postgres(postgres.folder, password="pw").start()
    assert postgres.sql("select 1") == "1"


def test_settings_given_win_over_the_defaults_and_loopback_stays(tmp_path):
    settings = {"max_connections": "17", "listen_addresses": "*"}
    with Postgres(tmp_path / "pg", password="pw", settings=settings) as postgres:
        assert postgres.sql("show max_connections") == "17"
        assert postgres.sql("show listen_addresses") == "127.0.0.1"
        assert postgres.sql("show unix_socket_directories") == ""
        assert postgres.sql("show fsync") == "on"


async def test_nobody_enters_without_the_password(postgres):
    for password in ("", "wrong"):
        with pytest.raises(
            (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
        ):
            await asyncpg.connect(postgres.dsn("postgres", password or "x", "postgres"))


def test_a_bad_setting_fails_the_start_with_the_server_s_own_words(tmp_path):
    with pytest.raises(LocalServerError, match="shared_buffers"):
        Postgres(tmp_path / "pg", password="pw", settings={"shared_buffers": "lots"}).start()
