"""Requests that are repeated with their Idempotency-Key, at two workers on one ledger."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    catalogue_for,
    running_gateway,
)

HELLO = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]}
Pair = tuple[RunningGateway, RunningGateway]


@contextlib.asynccontextmanager
async def running_pair(
    folders: pytest.TempPathFactory, upstream_url: str, **settings: Any
) -> AsyncIterator[Pair]:
    """Two workers on one ledger, each with a journal of its own."""
    catalogue, ledger = catalogue_for(upstream_url), GatewayLedger()
    async with contextlib.AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(
                running_gateway(folders.mktemp(name), catalogue, ledger, **settings)
            )
            for name in ("one", "other")
        ]
        yield one, other


def customer(gateway: RunningGateway) -> str:
    """The key of a new account with a dollar."""
    return gateway.ledger.key(gateway.ledger.account(DOLLAR))


async def ask(
    gateway: RunningGateway, key: str, once: str = "first", **fields: Any
) -> httpx.Response:
    """Ask for a completion under an Idempotency-Key."""
    headers = {"authorization": f"Bearer {key}", "idempotency-key": once}
    return await gateway.http.post("/v1/chat/completions", json=HELLO | fields, headers=headers)


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error."""
    return answer.status_code, answer.json()["error"]["code"]
