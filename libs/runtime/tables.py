"""How services define tables: one schema each, names by one rule, nulls only on purpose."""

from typing import Any, Final

from sqlalchemy import Column, DateTime, MetaData, text

Time: Final = DateTime(timezone=True)


def schema(name: str) -> MetaData:
    """The tables of one schema, with the names Postgres itself would give their constraints."""
    return MetaData(
        schema=name,
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        },
    )


def column(name: str, kind: Any, *, null: bool = False, default: str | None = None) -> Column[Any]:
    """A column that must have a value unless said otherwise."""
    server_default = text(default) if default is not None else None
    return Column(name, kind, nullable=null, server_default=server_default)
