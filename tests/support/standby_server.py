"""A streaming standby of a Postgres server, made by pg_basebackup and promoted by hand."""

from pathlib import Path

from deploy.local.launch import run, unprivileged
from deploy.local.postgres import Postgres, binaries
from tests.support.waiting import wait_until

REPLICATION = "\nhost replication all 127.0.0.1/32 scram-sha-256\n"


def allow_replication(primary: Postgres) -> None:
    """Let the superuser copy the primary and stream from it."""
    hba = primary.data / "pg_hba.conf"
    hba.write_text(hba.read_text() + REPLICATION)
    primary.sql("select pg_reload_conf()")


def make_standby(primary: Postgres, folder: Path, password: str) -> Postgres:
    """Copy the running primary into `folder` and start the copy, which then follows it."""
    folder.mkdir(mode=0o700)
    where = f"host=127.0.0.1 port={primary.port} user=postgres password={password}"
    copy = [binaries() / "pg_basebackup", "-d", where, "-D", folder / "data"]
    done = run([*copy, "-X", "stream", "-c", "fast", "-R"], run_as=unprivileged(folder))
    assert done.returncode == 0, done.stderr
    standby = Postgres(folder, password=password, settings={"shared_buffers": "64MB"})
    standby.start()
    wait_until(lambda: streaming(primary) == ["async"], what="the standby to stream")
    return standby


def streaming(primary: Postgres) -> list[str]:
    """How each standby that streams from the primary is waited for: `async` is not at all."""
    return primary.sql(
        "select sync_state from pg_stat_replication where state = 'streaming'"
    ).splitlines()


def has_caught_up(primary: Postgres, standby: Postgres) -> bool:
    """Whether the standby has replayed everything that the primary wrote so far."""
    end = primary.sql("select pg_current_wal_flush_lsn()")
    return standby.sql(f"select pg_last_wal_replay_lsn() >= '{end}'") == "t"  # noqa: S608


def promote(standby: Postgres) -> None:
    """Make a primary of it."""
    assert standby.sql("select pg_promote(true, 30)") == "t"
