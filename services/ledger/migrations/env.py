from libs.runtime.alembic_env import run
from services.ledger.schema import is_defined, metadata

run(metadata, includes=is_defined)
