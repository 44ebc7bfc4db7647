"""Alembic's entry for every service: its env.py says which tables, this says how.

`libs.runtime.migrate` hands over the connection in `attributes["connection"]`.
"""

from collections.abc import Callable

from alembic import context
from sqlalchemy import Connection, MetaData, text

TableFilter = Callable[[str], bool]


def run(metadata: MetaData, *, includes: TableFilter = lambda _table: True) -> None:
    """Run the migrations of `metadata`'s schema on the given connection.

    Args:
        metadata: the service's tables, all in one schema.
        includes: whether a table of the database belongs to the comparison; some are made by
            functions and are nobody's definition.
    """
    connection: Connection = context.config.attributes["connection"]
    schema = str(metadata.schema)
    connection.execute(text(f"create schema if not exists {schema}"))
    connection.commit()

    def include_name(name: str | None, kind: str, _parents: object) -> bool:
        if kind == "schema":
            return name == schema
        return kind != "table" or name is None or includes(name)

    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=schema,
        include_schemas=True,
        include_name=include_name,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
