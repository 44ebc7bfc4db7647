"""The servers and the ledger process of a benchmark, with the settings of the fairness rules."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import httpx
import nats
from nats.aio.client import Client

from benchmarks.opening import opening, publishing
from deploy.local.stack import DATABASE, LocalStack
from farebox.bench.commands import fresh_id
from farebox.bench.wire import Wire
from farebox.migrate import migrate
from libs.events import subjects
from libs.events.codec import encode_command
from libs.events.ids import partition_of
from libs.runtime.streams import ledger_stream, provision

ROOT = Path(__file__).parents[1]
POSTGRES = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}
READ_BACK = (
    "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size",
    "checkpoint_timeout", "wal_compression", "wal_sync_method", "data_checksums", "server_version",
)  # fmt: skip


class Installation:
    """Postgres, NATS, one ledger process on one partition, and accounts to spend from."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._http = httpx.Client()

    def dsn(self, role: str, database: str = "farebox") -> str:
        return self.stack.dsn(role, database=database)

    def install(self) -> None:
        migrate(self.dsn("owner"), 1)
        config = (
            (ROOT / "farebox.example.toml").read_text().replace("partitions = 4", "partitions = 1")
        )
        (self.folder / "farebox.toml").write_text(config)
        asyncio.run(self._provision(lambda nc: provision(nc, 1)))

    def empty(self) -> None:
        """Make the database anew; no process may run."""
        self.stack.drop_database(DATABASE)
        self.stack.create_database(DATABASE)
        migrate(self.dsn("owner"), 1)

    def renew_stream(self, first_position: int) -> None:
        """Make the partition's stream anew and empty, to begin at a position of the log."""

        async def renew(nc: Client) -> None:
            await nc.jetstream().delete_stream(subjects.stream(0))
            stream = ledger_stream(0).evolve(first_seq=first_position)
            await nc.jetstream().add_stream(stream)
            await provision(nc, 1)

        asyncio.run(self._provision(renew))

    def stream_end(self) -> tuple[int, int]:
        """The last sequence of the partition's stream, and how many messages it has."""
        found: list[tuple[int, int]] = []

        async def look(nc: Client) -> None:
            state = (await nc.jetstream().stream_info(subjects.stream(0))).state
            found.append((state.last_seq, state.messages))

        asyncio.run(self._provision(look))
        return found[0]

    async def _provision(self, work: Callable[[Client], Awaitable[None]]) -> None:
        nc = await nats.connect(
            self.stack.nats.url, user="provision", password=self.stack.nats_password("provision"),
            inbox_prefix="inbox.provision",
        )  # fmt: skip
        try:
            await work(nc)
        finally:
            await nc.close()

    def start(self, process: str) -> int:
        """Start `ledger` or `reader`, wait until it is ready, return its pid."""
        environment = {
            **os.environ, **self.stack.env_for(process),
            "FAREBOX_CONFIG": str(self.folder / "farebox.toml"),
            "FAREBOX_DATA_DIR": str(self.folder), "FAREBOX_PROCESS_NAME": process,
        }  # fmt: skip
        with self._log(process).open("ab") as log:
            self._running[process] = subprocess.Popen(
                [sys.executable, "-m", "farebox.main", "serve", process],
                cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._wait_ready(process)
        if process == "ledger":
            asyncio.run(self._publish())
        return self._running[process].pid

    async def _publish(self) -> None:
        """Let the partition sell by the catalogue that the load names."""
        wire = await Wire.connect(self.stack.nats.url, "admin", self.stack.nats_password("admin"))
        answer = await wire.request(b"ledger.commands.0.admin", encode_command(publishing()))
        wire.close()
        if b'"Published"' not in answer:
            raise RuntimeError(answer.decode())

    def pid(self, process: str) -> int:
        return self._running[process].pid

    def stop(self) -> None:
        """Stop the processes; the servers go on."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(30)
        self._running.clear()

    def close(self) -> None:
        self._http.close()

    def _log(self, process: str) -> Path:
        return self.folder / f"{process}.log"

    def _ask(self, process: str, path: str) -> str | None:
        try:
            ports = json.loads((self.folder / "run" / f"{process}.json").read_text())["ports"]
            answer = self._http.get(f"http://127.0.0.1:{ports['health']}{path}")
        except (OSError, httpx.HTTPError):
            return None
        return answer.text if answer.status_code == 200 else None

    def _wait_ready(self, process: str, patience_s: float = 60) -> None:
        deadline = time.monotonic() + patience_s
        while self._ask(process, "/health/ready") is None:
            if time.monotonic() > deadline or self._running[process].poll() is not None:
                raise RuntimeError(self._log(process).read_text()[-3000:])
            time.sleep(0.05)

    def lag(self) -> int:
        """Events not yet in the stream."""
        return self.metric("ledger", "ledger_relay_lag")

    def metric(self, process: str, name: str) -> int:
        """What a process counts under that name, over all labels; 0 while it counts nothing."""
        lines = (self._ask(process, "/metrics") or "").splitlines()
        found = re.compile(rf"(farebox_)?{name}({{.*}})? ")
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if found.match(line))

    def behind(self) -> int:
        """Events that the slowest projection has not applied."""
        return int(self.sql(
            "select (select max(position) from ledger.events)"
            " - (select min(position) from ledger.projection_positions)"
        ))  # fmt: skip

    def bytes_stored(self) -> dict[str, float]:
        """What lies in the ledger's tables, indexes included, in all and per command."""
        size = "select pg_total_relation_size('ledger.' || $1)"
        sizes = {
            name: int(self.sql(size, name)) for name in ("commands", "reservations", "accounts")
        }
        sizes["events"] = int(self.sql(
            "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
            " where inhparent = 'ledger.events'::regclass"
        ))  # fmt: skip
        return {**sizes, "per_command": sum(sizes.values()) / self.logged()[0]}

    def sql(
        self, query: str, *arguments: Any, role: str = "postgres", database: str = "farebox"
    ) -> Any:
        """The first value a query gives."""

        async def ask() -> Any:
            connection = await asyncpg.connect(self.dsn(role, database))
            try:
                return await connection.fetchval(query, *arguments)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def settings(self, role: str, database: str) -> dict[str, str]:
        """The server's settings as a session of that role sees them: a role may have its own."""
        return {
            name: self.sql("select current_setting($1)", name, role=role, database=database)
            for name in READ_BACK
        }

    def checkpoint(self) -> None:
        """So that every round starts with the same distance to the next one."""
        self.stack.postgres.sql("checkpoint")

    def wal(self) -> int:
        """Bytes of write-ahead log so far."""
        return int(self.sql("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def logged(self, before: int = 0) -> tuple[int, int]:
        """Commands and events in the log; the first `before` events are not counted again."""
        commands = int(self.sql("select count(*) from ledger.commands"))
        query = "select count(*) from ledger.events where position > $1"
        return commands, before + int(self.sql(query, before))

    def open_accounts(self, count: int) -> Path:
        """Open, key and fill accounts; the file names one a line: partition, account, key."""
        lines = asyncio.run(self._open(count))
        path = self.folder / f"accounts-{count}.txt"
        path.write_text("\n".join(lines))
        return path

    async def _open(self, count: int) -> list[str]:
        wire = await Wire.connect(self.stack.nats.url, "admin", self.stack.nats_password("admin"))
        gate = asyncio.Semaphore(256)
        made = await asyncio.gather(*(self._open_one(wire, gate) for _ in range(count)))
        wire.close()
        return made

    async def _open_one(self, wire: Wire, gate: asyncio.Semaphore) -> str:
        account, key = fresh_id(), fresh_id()
        partition = partition_of(f"acct_{account}", 1)
        subject = f"ledger.commands.{partition}.admin".encode()
        async with gate:
            for command in opening(f"acct_{account}", f"key_{key}"):
                answer = await wire.request(subject, encode_command(command))
                if b'"event_count":0' in answer:
                    raise RuntimeError(answer.decode())
        return f"{partition} {account} {key}"


@contextmanager
def installed(
    folder: Path, postgres: Mapping[str, str] = MappingProxyType(POSTGRES)
) -> Iterator[Installation]:
    with LocalStack(folder, postgres_settings=postgres) as stack:
        made = Installation(stack, folder)
        made.install()
        try:
            yield made
        finally:
            made.stop()
            made.close()
