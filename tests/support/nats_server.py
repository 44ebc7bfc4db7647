"""A nats-server of the test's own, which it may kill and start again."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from deploy.local.launch import free_port
from libs.runtime.settings import Settings

PASSWORD = "only-for-tests"

CONFIG = """
server_name: runtime
listen: 127.0.0.1:{port}
max_payload: 1MB
jetstream {{ store_dir: "{store}", sync_interval: always, max_file_store: 1GB }}
authorization {{ users: [
 {{ user: gateway, password: {password}, permissions: {{
     publish: {{ allow: ["ledger.commands.*.use", "ledger.queries.>"] }}
     subscribe: {{ allow: ["inbox.gateway.>"] }} }} }}
 {{ user: ledger, password: {password}, permissions: {{
     publish: {{ allow: ["inbox.>", "ledger.events.>", "ledger.committed.*", "quarantine.ledger.*",
                        "$JS.API.STREAM.INFO.*", "$JS.API.DIRECT.GET.*"] }}
     subscribe: {{ allow: ["inbox.ledger.>", "ledger.commands.>", "ledger.queries.>"] }} }} }}
 {{ user: recharge, password: {password}, permissions: {{
     publish: {{ allow: ["ledger.commands.*.recharge", "ledger.queries.>", "quarantine.recharge.*",
                        "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.*.recharge",
                        "$JS.API.CONSUMER.MSG.NEXT.*.recharge", "$JS.ACK.*.recharge.>",
                        "$JS.API.CONSUMER.RESET.*.recharge"] }}
     subscribe: {{ allow: ["inbox.recharge.>"] }} }} }}
 {{ user: provision, password: {password}, permissions: {{
     publish: {{ allow: ["$JS.API.>"] }}
     subscribe: {{ allow: ["inbox.provision.>"] }} }} }}
 {{ user: root, password: {password} }}
]}}
"""


class NatsServer:
    """One nats-server on a fixed free port, its store in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = PASSWORD
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def settings(self, **fields: Any) -> Settings:
        return Settings(nats_url=self.url, nats_password=self.password, **fields)

    async def start(self, password: str = PASSWORD) -> None:
        config = self.folder / "nats.conf"
        config.write_text(
            CONFIG.format(port=self.port, store=self.folder / "store", password=password)
        )
        binary = Path(sys.executable).parent / "nats-server"
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary, "-c", config], stdout=log, stderr=log)  # noqa: ASYNC220
        async with asyncio.timeout(10):
            while not await self.answers():
                assert self.process.poll() is None, (self.folder / "nats.log").read_text()
                await asyncio.sleep(0.01)

    async def answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @contextlib.asynccontextmanager
    async def client(self, user: str = "root", **options: Any) -> AsyncIterator[Client]:
        """A plain client, for what stands on the other side of the code under test."""
        options.setdefault("error_cb", ignore)
        nc = await nats.connect(
            self.url, user=user, password=self.password, inbox_prefix=f"inbox.{user}", **options
        )
        try:
            yield nc
        finally:
            await nc.close()


async def ignore(_error: Exception) -> None:
    """Errors of the other side are the other side's business."""
