import stat

from deploy.local.postgres import binaries


def nobody_can_run_postgres() -> bool:
    """Say whether every folder down to PostgreSQL's programs lets any user through."""
    program = binaries() / "postgres"
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in program.parents)
