"""Signed webhook deliveries: by hand or on their own, with duplicates, shuffled, or dropped."""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import httpx
import stripe

from simulators.stripe.store import Row

ATTEMPTS = 8
FIRST_RETRY_S = 0.2
DEFAULT_SECRET = "whsec_stand-in"  # noqa: S105 - guards nothing but the stand-in


@dataclass(slots=True)
class Delivery:
    """How events reach the endpoint.

    auto: deliver each event as it happens, again after a failure. copies: how often each is sent.
    drop: nothing is sent. shuffle_seed: events that wait together go out in another order.
    """

    url: str | None = None
    secret: str = DEFAULT_SECRET
    auto: bool = False
    copies: int = 1
    drop: bool = False
    shuffle_seed: int | None = None


class Webhooks:
    """The events that wait for delivery and the one endpoint that gets them."""

    def __init__(self, how: Delivery, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.how = how
        self.waiting: list[Row] = []
        self.log: list[tuple[str, int]] = []
        self._transport = transport
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def put(self, event: Row) -> None:
        """A new event. In auto mode its delivery starts by itself."""
        self.waiting.append(event)
        if self.how.auto:
            task = asyncio.get_running_loop().create_task(self._automatically())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def deliver(
        self,
        *,
        copies: int = 1,
        shuffle_seed: int | None = None,
        event_ids: list[str] | None = None,
    ) -> list[int]:
        """Send what waits (or only `event_ids`) now; the HTTP statuses, 0 for no answer."""
        chosen = [row for row in self.waiting if event_ids is None or row["id"] in event_ids]
        self.waiting = [row for row in self.waiting if row not in chosen]
        batch = [row for row in chosen for _ in range(copies)]
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(batch)
        return [await self.send(row) for row in batch]

    def drop(self) -> int:
        """Lose everything that waits; how many there were."""
        lost, self.waiting = len(self.waiting), []
        return lost

    async def send(self, event: Row, *, secret: str | None = None) -> int:
        """One signed delivery; the HTTP status, 0 when nobody answered."""
        assert self.how.url is not None, "no webhook url is set"
        body = json.dumps(event, indent=2)
        header = sign(body, secret or self.how.secret)
        headers = {"stripe-signature": header, "content-type": "application/json; charset=utf-8"}
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=10) as client:
                answer = await client.post(self.how.url, content=body.encode(), headers=headers)
            status = answer.status_code
        except httpx.HTTPError:
            status = 0
        self.log.append((event["id"], status))
        return status

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _automatically(self) -> None:
        async with self._turn:
            if self.how.shuffle_seed is not None:
                await asyncio.sleep(0.05)
            batch, self.waiting = self.waiting, []
            batch = [row for row in batch for _ in range(self.how.copies)]
            if self.how.shuffle_seed is not None:
                random.Random(self.how.shuffle_seed).shuffle(batch)
        if self.how.drop or self.how.url is None:
            return
        for row in batch:
            await self._until_taken(row)

    async def _until_taken(self, row: Row) -> None:
        for attempt in range(ATTEMPTS):
            if 200 <= await self.send(row) < 300:
                return
            await asyncio.sleep(FIRST_RETRY_S * 2**attempt)


def sign(body: str, secret: str, at: int | None = None) -> str:
    """The Stripe-Signature header, made by the SDK's own signer. `at`: seconds since 1970."""
    moment: Any = int(time.time()) if at is None else at
    header: str = stripe.WebhookSignature.generate_signature_header(body, secret, moment)
    return header
