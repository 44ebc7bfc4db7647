"""A whole Farebox on this machine: servers, tables, streams and every process."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.launch import free_port, port_is_free
from deploy.local.stack import LocalStack
from farebox.environment import inherited
from farebox.supervisor import Report, StartError, Supervisor
from farebox.units import Process, ProcessUnit, ServerUnit
from libs.catalogue import Catalogue, load

Address = tuple[str, int]
_SETTING = {
    "gateway": "gateway.listen",
    "admin": "gateway.admin_listen",
    "payments": "payments.listen",
}


class Installation:
    """Servers and processes of one data folder, in the order that they need each other.

    Args:
        folder: data folder; kept between starts.
        config: the farebox.toml.
        ports: for `gateway`, `admin`, `payments`: a port in place of the configured one; 0 takes a
            free one. A port is kept over restarts.
        env: further variables for a kind of process (`ledger`, …), over everything else.
        beside: processes that are no part of Farebox (simulators), started before its own.
        auditor: also run the self-audit.
        report: told each step, and each process that had to be restarted.

    `start` raises CatalogueError, LocalServerError or StartError, and leaves nothing running.
    """

    def __init__(
        self,
        folder: Path,
        config: Path,
        *,
        ports: Mapping[str, int] | None = None,
        env: Mapping[str, Mapping[str, str]] | None = None,
        beside: Sequence[Process] = (),
        auditor: bool = False,
        report: Report = lambda _line: None,
    ) -> None:
        self.folder = folder.absolute()
        self.config = config.absolute()
        self.catalogue: Catalogue = load(self.config)
        self._addresses = _addresses(self.catalogue, ports or {})
        self._fixed = _SETTING.keys() - (ports or {}).keys()
        self._extra_env = {kind: dict(values) for kind, values in (env or {}).items()}
        self._beside = list(beside)
        self._auditor = auditor
        self._report = report
        self.stack = LocalStack(self.folder)
        self.admin_token = self.stack.secrets["FAREBOX_ADMIN_TOKEN"]
        self.supervisor = Supervisor(report)

    def start(self) -> None:
        """Start everything and return when all of it is ready."""
        try:
            self._require_ports()
            self._start_servers()
            self._prepare()
            for process in [*self._beside, *self._own_processes()]:
                self._report(f"starting {process.name}")
                self.supervisor.start(ProcessUnit(process))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, last started first. Harmless when nothing runs."""
        self.supervisor.stop()
        self.stack.stop()

    def restart(
        self, kind: str, *, config: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Stop and start all processes of a kind; with `config` or `env` they keep those since.

        Args:
            kind: `ledger`, `reader`, `gateway` (all workers), … or the name of a process beside.
        """
        for process in self._processes_of(kind):
            changed = {**process.env, **(env or {})}
            if config is not None:
                changed["FAREBOX_CONFIG"] = str(config.absolute())
            replacement = ProcessUnit(replace(process, env=changed))
            self.supervisor.restart(process.name, replacement)

    def url(self, kind: str) -> str:
        """Return the public address of `gateway`, `admin` or `payments`: `http://host:port`."""
        host, port = self._addresses[kind]
        return f"http://{_text((_OPENED_AS.get(host, host), port))}"

    def ports(self, name: str) -> dict[str, int]:
        """Return the ports of a process by its own name (`gateway-1`, `stripe`)."""
        unit = self.supervisor.unit(name)
        return unit.ports() if isinstance(unit, ProcessUnit) else {}

    def processes(self) -> list[str]:
        """Names of Farebox's own processes, in the order they are started."""
        return [process.name for process in self._own_processes()]

    def _require_ports(self) -> None:
        for kind in sorted(self._fixed):
            host, port = self._addresses[kind]
            if not port_is_free(host, port):
                section, key = _SETTING[kind].split(".")
                raise StartError(
                    f'[{section}] {key} = "{_text((host, port))}": another process listens there; '
                    f"stop it, or write another port into {self.config}"
                )

    def _start_servers(self) -> None:
        self._report("starting postgres")
        self.supervisor.start(ServerUnit(self.stack.postgres, self.stack.prepare_database))
        self._report("starting nats")
        self.supervisor.start(ServerUnit(self.stack.nats, self.stack.write_ports))

    def _prepare(self) -> None:
        # Processes of their own: only they hold the owner's and the provisioner's passwords.
        self._report("migrating tables, provisioning streams")
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._run_once, ("migrate", "provision")))

    def _run_once(self, command: str) -> None:
        done = subprocess.run(
            [*_FAREBOX, command],
            env=self._env(command, command),
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0:
            raise StartError(f"farebox {command}: {done.stderr.strip() or done.stdout.strip()}")

    def _own_processes(self) -> list[Process]:
        workers = self.catalogue.gateway.workers
        gateways = ["gateway"] if workers == 1 else [f"gateway-{n + 1}" for n in range(workers)]
        names = ["ledger", "reader", "admin", *gateways, "payments", "recharge"]
        names += ["auditor"] if self._auditor else []
        return [self._process(name) for name in names]

    def _process(self, name: str) -> Process:
        kind = name.partition("-")[0]
        return Process(
            name=name,
            command=[*_FAREBOX, "serve", kind],
            env=self._env(kind, name),
            run_file=self.folder / "run" / f"{name}.json",
            log=self.folder / "logs" / f"{name}.log",
        )

    def _processes_of(self, kind: str) -> list[Process]:
        names = [process.name for process in (*self._beside, *self._own_processes())]
        units = [self.supervisor.unit(n) for n in names if n == kind or n.startswith(f"{kind}-")]
        if not units:
            raise KeyError(kind)
        return [unit.process for unit in units if isinstance(unit, ProcessUnit)]

    def _env(self, kind: str, name: str) -> dict[str, str]:
        upstream_keys = [each.key_env for each in self.catalogue.upstreams.values()]
        env = inherited(kind, os.environ, upstream_keys if kind == "gateway" else ())
        env |= self.stack.env_for(name)
        env["FAREBOX_CONFIG"] = str(self.config)
        env["PYTHONPATH"] = _CODE
        if kind in self._addresses:
            env["FAREBOX_LISTEN"] = _text(self._addresses[kind])
        if kind == "gateway" and self.catalogue.gateway.workers > 1:
            env["FAREBOX_REUSE_PORT"] = "1"
        if kind == "admin":
            env["FAREBOX_ADMIN_TOKEN"] = self.admin_token
        return env | self._extra_env.get(kind, {})

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


# Where a server that listens everywhere is reached from here.
_OPENED_AS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_FAREBOX = (sys.executable, "-m", "farebox.main")
# Processes run the same code as this one, whatever else is installed.
_CODE = str(Path(__file__).parents[1])


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses(catalogue: Catalogue, ports: Mapping[str, int]) -> dict[str, Address]:
    configured = {
        "gateway": catalogue.gateway.listen,
        "admin": catalogue.gateway.admin_listen,
        "payments": catalogue.payments.listen,
    }
    return {
        kind: (host, (ports[kind] or free_port()) if kind in ports else port)
        for kind, (host, port) in configured.items()
    }
