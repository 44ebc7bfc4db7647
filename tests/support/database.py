"""Databases for test modules: copies of one migrated template, made in a twentieth of a second."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deploy.local.stack import LocalStack
from farebox.migrate import migrate

PARTITIONS = 3
TEMPLATE = "farebox_template"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """One migrated database of the test's own stack."""

    stack: LocalStack
    name: str

    def dsn(self, role: str) -> str:
        """Address for a role: owner, ledger, reader, auditor, payments, recharge or postgres."""
        return self.stack.dsn(role, database=self.name)

    def env_for(self, process: str) -> dict[str, str]:
        """The FAREBOX_* variables of a process that works on this database."""
        return self.stack.env_for(process, database=self.name)

    def sql(self, script: str) -> str:
        """Run a psql script as the superuser."""
        return self.stack.postgres.sql(script, database=self.name)


def make_template(stack: LocalStack) -> str:
    """Migrate the template with the product's own command and return its name."""
    stack.create_database(TEMPLATE)
    with ThreadPoolExecutor(1) as pool:  # alembic runs an event loop of its own
        pool.submit(migrate, stack.dsn("owner", database=TEMPLATE), PARTITIONS).result()
    return TEMPLATE


def make_database(stack: LocalStack, template: str) -> Database:
    name = f"test_{next(_numbers)}"
    stack.create_database(name, template=template)
    return Database(stack, name)
