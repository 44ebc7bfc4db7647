from libs.runtime.alembic_env import run
from services.payments.schema import metadata

run(metadata)
