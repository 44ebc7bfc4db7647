import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.nats import NatsServer
from deploy.local.postgres import SUPERUSER, Postgres
from deploy.local.secrets import Secrets
from deploy.nats.config import password_variable, permissions

DATABASE = "farebox"
_SQL = Path(__file__).parents[1] / "postgres"
_ROLES = ("owner", "ledger", "reader", "auditor", "payments", "recharge")
# The Postgres role and the NATS user of each kind of process; None: it has none.
_CREDENTIALS: Mapping[str, tuple[str | None, str | None]] = {
    "ledger": ("ledger", "ledger"),
    "reader": ("reader", "reader"),
    "gateway": (None, "gateway"),
    "admin": (None, "admin"),
    "payments": ("payments", "payments"),
    "recharge": ("recharge", "recharge"),
    "provision": (None, "provision"),
    "migrate": ("owner", None),
    "audit": ("auditor", None),
    "auditor": ("auditor", None),
}


class LocalStack:
    """PostgreSQL and NATS of one data folder, with Farebox's roles, database and NATS users.

    `<folder>/postgres`, `/nats`, `/logs`, `/run/ports.json` and `/secrets.env`; all of it is
    resumed by the next start. Starting and stopping block; both servers stop by themselves when
    the starting process is killed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        postgres_settings: Mapping[str, str] | None = None,
        postgres_port: int = 0,
        nats_port: int = 0,
    ) -> None:
        self.folder = folder.absolute()
        self.run_folder = self.folder / "run"
        self.logs = self.folder / "logs"
        self.secrets = Secrets(self.folder / "secrets.env")
        self.postgres = Postgres(
            self.folder / "postgres",
            password=self.secrets[_role_variable(SUPERUSER)],
            settings=postgres_settings,
            port=postgres_port,
            log=self.logs / "postgres.log",
        )
        self.nats = NatsServer(
            self.folder / "nats",
            passwords={user: self.nats_password(user) for user in permissions()},
            port=nats_port,
            log=self.logs / "nats.log",
        )

    def start(self) -> None:
        """Start both servers; roles and database exist when it returns. Raises LocalServerError."""
        try:
            self.postgres.start()
            self.prepare_database()
            self.nats.start()
            self.write_ports()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.nats.stop()
        self.postgres.stop()

    def prepare_database(self) -> None:
        """Make what is missing of roles and database; set the roles' passwords to the secrets."""
        passwords = {_role_variable(role): self._role_password(role) for role in _ROLES}
        self.postgres.sql((_SQL / "roles.sql").read_text(), env=passwords)
        self.create_database(DATABASE)

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Make a database that the service roles may enter, copied from `template`."""
        script = f"\\set database {name}\n\\set template {template}\n"
        self.postgres.sql(script + (_SQL / "database.sql").read_text())

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting off whoever is connected."""
        self.postgres.sql(f'drop database if exists "{name}" with (force)')

    def write_ports(self) -> None:
        """Write `run/ports.json`: where the servers listen, for tools of an operator."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        ports = {
            "postgres": self.postgres.port,
            "nats": self.nats.port,
            "nats_monitor": self.nats.monitor_port,
        }
        fresh = self.run_folder / "ports.json.new"
        fresh.write_text(json.dumps(ports, indent=2) + "\n")
        fresh.replace(self.run_folder / "ports.json")

    def env_for(self, process: str, *, database: str = DATABASE) -> dict[str, str]:
        """Return the FAREBOX_* variables of one process: its own credentials and no other's.

        Args:
            process: `ledger`, `reader`, `gateway`, `admin`, `payments`, `recharge`, `provision`,
                `migrate`, `audit`, `auditor`; a worker's number may follow (`gateway-2`).
            database: which database its role connects to.
        """
        role, user = _CREDENTIALS[process.partition("-")[0]]
        env = {"FAREBOX_DATA_DIR": str(self.folder), "FAREBOX_PROCESS_NAME": process}
        if role is not None:
            env["FAREBOX_DATABASE_URL"] = self.dsn(role, database=database)
        if user is not None:
            env["FAREBOX_NATS_URL"] = self.nats.url
            env["FAREBOX_NATS_PASSWORD"] = self.nats_password(user)
        return env

    def dsn(self, role: str, *, database: str = DATABASE) -> str:
        """Return the address of a database for a role (`owner`, `ledger`, … or `postgres`)."""
        name = role if role == SUPERUSER else f"farebox_{role}"
        return self.postgres.dsn(name, self._role_password(role), database)

    def nats_password(self, user: str) -> str:
        return self.secrets[password_variable(user)]

    def _role_password(self, role: str) -> str:
        return self.secrets[_role_variable(role)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _role_variable(role: str) -> str:
    if role == SUPERUSER:
        return "FAREBOX_POSTGRES_PASSWORD"
    return f"FAREBOX_POSTGRES_{role.upper()}_PASSWORD"
