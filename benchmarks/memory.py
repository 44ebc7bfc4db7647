"""What an account costs in the ledger's memory: commands that load it and leave nothing else."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.installation import Installation
from farebox.bench.commands import Reserves
from farebox.bench.wire import Wire

WARM = 2_000
AT_MOST = 48_000
"""Fewer than the ledger keeps (50,000), so that none is dropped."""
UNPAYABLE = 2**61
"""More than any account has: a Reserve of it is declined, so no hold and no command stays."""


def measure(installation: Installation) -> dict[str, Any]:
    """How much the process grows by each account that it reads."""
    pid = installation.start("ledger")
    lines = (installation.folder / "accounts-all.txt").read_text().split("\n")[: AT_MOST + WARM]
    asyncio.run(_touch(installation, lines[:WARM]))
    before = _resident(pid)
    asyncio.run(_touch(installation, lines[WARM:]))
    grown = _resident(pid) - before
    installation.stop()
    return {
        "memory_per_account_bytes": round(grown / len(lines[WARM:])),
        "accounts": len(lines[WARM:]),
        "resident_before_bytes": before,
    }


async def _touch(installation: Installation, lines: list[str]) -> None:
    stack = installation.stack
    wire = await Wire.connect(stack.nats.url, "gateway", stack.nats_password("gateway"))
    made, gate = Reserves(UNPAYABLE), asyncio.Semaphore(64)

    async def touch(line: str) -> None:
        partition, account, key = line.split(" ")
        subject = f"ledger.commands.{partition}.use".encode()
        async with gate:
            answer = await wire.request(subject, made.make(made.head(account, key)))
        if b'"reply":"Declined"' not in answer:
            raise RuntimeError(f"not declined: {answer.decode()}")

    await asyncio.gather(*(touch(line) for line in lines))
    wire.close()


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
