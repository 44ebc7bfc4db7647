"""The servers and the ledger process of a benchmark, with the settings of the fairness rules."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import nats

from benchmarks.commands import CATALOGUE, fresh_id
from benchmarks.wire import Wire
from deploy.local.stack import LocalStack
from farebox.migrate import migrate
from libs.events import commands as c
from libs.events.codec import encode_command
from libs.events.ids import partition_of
from libs.runtime.streams import provision

ROOT = Path(__file__).parents[1]
POSTGRES = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}
READ_BACK = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size",
             "checkpoint_timeout", "wal_compression", "data_checksums", "server_version")  # fmt: skip
RICH = 10**15


class Installation:
    """Postgres, NATS, one ledger process on one partition, and accounts to spend from."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self._ledger: subprocess.Popen[bytes] | None = None

    def dsn(self, role: str, database: str = "farebox") -> str:
        return self.stack.dsn(role, database=database)

    def install(self) -> None:
        migrate(self.dsn("owner"), 1)
        config = (ROOT / "farebox.example.toml").read_text().replace("partitions = 4", "partitions = 1")
        (self.folder / "farebox.toml").write_text(config)
        asyncio.run(self._provision())

    async def _provision(self) -> None:
        nc = await nats.connect(
            self.stack.nats.url, user="provision", password=self.stack.nats_password("provision"),
            inbox_prefix="inbox.provision",
        )  # fmt: skip
        await provision(nc, 1)
        await nc.close()

    def start_ledger(self) -> int:
        """Start the ledger, wait until it is ready, return its pid."""
        environment = {
            **os.environ, **self.stack.env_for("ledger"),
            "FAREBOX_CONFIG": str(self.folder / "farebox.toml"),
            "FAREBOX_DATA_DIR": str(self.folder), "FAREBOX_PROCESS_NAME": "ledger",
        }  # fmt: skip
        log = (self.folder / "ledger.log").open("ab")
        self._ledger = subprocess.Popen(
            [sys.executable, "-m", "farebox.main", "serve", "ledger"],
            cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()
        self.wait_ready()
        return self._ledger.pid

    def health(self, path: str = "/health/ready") -> str | None:
        import httpx

        try:
            ports = json.loads((self.folder / "run" / "ledger.json").read_text())["ports"]
            answer = httpx.get(f"http://127.0.0.1:{ports['health']}{path}")
        except (OSError, httpx.HTTPError):
            return None
        return answer.text if answer.status_code == 200 else None

    def wait_ready(self, patience_s: float = 60) -> None:
        deadline = time.monotonic() + patience_s
        while self.health() is None:
            if time.monotonic() > deadline or (self._ledger and self._ledger.poll() is not None):
                raise RuntimeError((self.folder / "ledger.log").read_text()[-3000:])
            time.sleep(0.05)

    def stop_ledger(self) -> None:
        if self._ledger is not None:
            self._ledger.terminate()
            self._ledger.wait(30)
            self._ledger = None

    def lag(self) -> int:
        """Events not yet in the stream."""
        text = self.health("/metrics") or ""
        lines = [line for line in text.splitlines() if line.startswith("farebox_ledger_relay_lag{")]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)

    def sql(self, query: str, *arguments: Any) -> Any:
        async def ask() -> Any:
            connection = await asyncpg.connect(self.dsn("postgres"))
            try:
                return await connection.fetchval(query, *arguments)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def settings(self) -> dict[str, str]:
        return {name: self.sql(f"select current_setting('{name}')") for name in READ_BACK}

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
            for command in _opening(f"acct_{account}", f"key_{key}"):
                answer = await wire.request(subject, encode_command(command))
                if b'"event_count":0' in answer:
                    raise RuntimeError(answer.decode())
        return f"{partition} {account} {key}"


def _opening(account: str, key: str) -> list[c.Command]:
    from datetime import UTC, datetime, timedelta

    deadline = datetime.now(UTC) + timedelta(hours=1)
    common = {"account_id": account, "correlation_id": "bench"}
    opened = c.OpenAccountData(unit="USD", plan="payg", catalogue=CATALOGUE)
    issued = c.IssueKeyData(
        key_id=key, secret_hash=key[4:] * 2, purpose="inference", prefix="fb_0_bench"
    )
    granted = c.GrantCreditsData(source="admin", amount=RICH, priority=0, reason_code="bench")
    return [
        c.OpenAccount(caller_id=account, data=opened, **common),
        c.IssueKey(caller_id=key, data=issued, deadline=deadline, **common),
        c.GrantCredits(caller_id=f"bench:{account}", data=granted, **common),
    ]


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    with LocalStack(folder, postgres_settings=POSTGRES) as stack:
        made = Installation(stack, folder)
        made.install()
        try:
            yield made
        finally:
            made.stop_ledger()
