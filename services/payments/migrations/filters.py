"""What Alembic looks at: this service's schema and no other."""

from alembic.runtime.environment import NameFilterParentNames, NameFilterType

from services.payments.schema import SCHEMA


def include_name(name: str | None, kind: NameFilterType, _parents: NameFilterParentNames) -> bool:
    return name == SCHEMA if kind == "schema" else True
