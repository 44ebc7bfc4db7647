"""What the Python programs share: cases in on stdin, outcomes out on stdout."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Runs one case against the gateway at a URL; returns what is to be told of it."""


def serve(call: Call, failure: Callable[[Exception], dict[str, Any]]) -> None:
    """Run all cases at once; `failure` tells of the error that a call ended with."""

    async def outcome(url: str, case: dict[str, Any]) -> dict[str, Any]:
        try:
            return await call(url, case)
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises is to be told
            return {"failure": {"class": type(error).__name__} | failure(error)}

    async def main() -> None:
        asked = json.load(sys.stdin)
        found = await asyncio.gather(*(outcome(asked["url"], case) for case in asked["cases"]))
        names = (case["name"] for case in asked["cases"])
        json.dump(dict(zip(names, found, strict=True)), sys.stdout)

    asyncio.run(main())
