"""`farebox admin` as an operator types it, against any server on a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from click.testing import Result
from typer.testing import CliRunner

from farebox.admin import app
from services.gateway.server import listen, serving
from tests.support.ledger_in_memory import LedgerInMemory

TOKEN = "operator-token"


@dataclass
class Operator:
    ledger: LedgerInMemory
    url: str

    async def run(self, *arguments: str, **environment: str) -> Result:
        env = {"FAREBOX_ADMIN_URL": self.url, "FAREBOX_ADMIN_TOKEN": TOKEN} | environment
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=env)

    async def json(self, *arguments: str) -> dict:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@contextlib.asynccontextmanager
async def serve(app_) -> AsyncIterator[str]:
    with listen(("127.0.0.1", 0), shared=False) as listening:
        async with serving(app_, listening, grace_s=1):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
