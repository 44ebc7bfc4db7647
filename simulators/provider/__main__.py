"""`python -m simulators.provider --port 0 --run-file PATH`: runs until SIGTERM or SIGINT.

Its key comes from the variable SIMULATOR_PROVIDER_KEY. The run file is JSON
`{"pid", "ports": {"http": n}, "url"}`, written when the port is open.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from simulators.provider.app import DEFAULT_KEY, running_provider


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


async def _serve(host: str, port: int, run_file: Path | None) -> None:
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    key = os.environ.get("SIMULATOR_PROVIDER_KEY") or DEFAULT_KEY
    async with running_provider(key, host, port) as provider:
        if run_file is not None:
            run = {"pid": os.getpid(), "ports": {"http": provider.port}, "url": provider.url}
            _write(run_file, json.dumps(run))
        sys.stdout.write(f"provider simulator listens on {provider.url}\n")
        sys.stdout.flush()
        await stopping.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--run-file", type=Path, help="where to write pid and port")
    options = parser.parse_args()
    asyncio.run(_serve(options.host, options.port, options.run_file))


if __name__ == "__main__":
    main()
