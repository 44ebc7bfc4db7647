"""Alembic, driven from code: every service brings its own migrations."""

from importlib.resources import files

from alembic import command
from alembic.config import Config

from libs.runtime.database import sqlalchemy_url


def upgrade(dsn: str, package: str) -> None:
    """Bring the tables of a service (`services.ledger`) to the newest version.

    Blocks, and runs an event loop of its own, so it needs a thread without one.
    """
    config = Config()
    config.set_main_option("script_location", str(files(f"{package}.migrations")))
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(dsn).replace("%", "%%"))
    command.upgrade(config, "head")
