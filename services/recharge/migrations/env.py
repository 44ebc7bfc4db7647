from libs.runtime.alembic_env import run
from services.recharge.schema import metadata

run(metadata)
