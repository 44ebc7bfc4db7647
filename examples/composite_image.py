"""One image for one credit: seven model calls under one reservation.

Run as `python -m examples.composite_image`.
"""

import asyncio
import os
import uuid
from typing import Any

import httpx

STEPS = ("idea", "layout", "colours", "figures", "light", "text", "review")


async def paint(farebox: httpx.AsyncClient, wish: str, request_id: str) -> list[str]:
    """What the seven steps answered. One credit is charged, or none when a step fails.

    `farebox` carries the service key. The same `request_id` holds once, however often it is sent.
    """
    held = await farebox.post(
        "/billing/v1/reservations",
        json={"operation": "paint-image"},
        headers={"idempotency-key": request_id},
    )
    held.raise_for_status()  # 402: too little is available, and nothing was done
    reservation = held.json()["reservation_id"]
    try:
        answers = [await _step(farebox, reservation, step, wish) for step in STEPS]
    except httpx.HTTPError:
        await _end(farebox, reservation, "release", {"reason_code": "step_failed"})
        raise
    await _end(farebox, reservation, "settle", {})  # all that is held: the price of the operation
    return answers


async def _step(farebox: httpx.AsyncClient, reservation: str, step: str, wish: str) -> str:
    """One model call: it is recorded with its cost and charges nothing itself."""
    answer = await farebox.post(
        "/v1/chat/completions",
        json={
            "model": "swift-1",
            "max_tokens": 256,
            "messages": [{"role": "user", "content": f"{step}: {wish}"}],
        },
        headers={"farebox-reservation": reservation},
    )
    answer.raise_for_status()
    return str(answer.json()["choices"][0]["message"]["content"])


async def _end(farebox: httpx.AsyncClient, reservation: str, verb: str, body: Any) -> None:
    answer = await farebox.post(f"/billing/v1/reservations/{reservation}/{verb}", json=body)
    answer.raise_for_status()


async def main() -> None:
    headers = {"authorization": f"Bearer {os.environ['FAREBOX_SERVICE_KEY']}"}
    url = os.environ.get("FAREBOX_URL", "http://127.0.0.1:8402")
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as farebox:
        for line in await paint(farebox, "a cat on a train", str(uuid.uuid4())):
            print(line)


if __name__ == "__main__":
    asyncio.run(main())
