"""`farebox audit` as an operator types it, without an interpreter of its own for every word."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from typer.testing import CliRunner

from farebox.main import app


@dataclass(frozen=True)
class Done:
    """What a finished command left: as subprocess tells it."""

    returncode: int
    stdout: str
    stderr: str


def audit(*words: str, url: str | None = None) -> Done:
    """Run one of its commands on this database. What it does not expect itself is raised."""
    env = {} if url is None else {"FAREBOX_DATABASE_URL": url}
    with ThreadPoolExecutor(1) as pool:  # the command runs an event loop of its own
        done = pool.submit(CliRunner().invoke, app, ["audit", *words], env=env).result()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)
