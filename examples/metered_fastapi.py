"""A FastAPI app whose route is paid before it runs (`uvicorn examples.metered_fastapi:app`)."""

import os
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException

app = FastAPI()
farebox = httpx.AsyncClient(
    base_url=os.environ.get("FAREBOX_URL", "http://127.0.0.1:8402"),
    headers={"authorization": f"Bearer {os.environ.get('FAREBOX_SERVICE_KEY', '')}"},
)


async def paid() -> AsyncIterator[dict[str, str]]:
    """Hold 0.05 before the route runs, charge it when it returns, give it back when it raises."""
    held = await farebox.post(
        "/billing/v1/reservations",
        json={"amount": "0.05", "hold_s": 60},
        headers={"idempotency-key": str(uuid.uuid4())},
    )
    if held.is_error:
        raise HTTPException(held.status_code, held.json()["detail"])
    path = f"/billing/v1/reservations/{held.json()['reservation_id']}"
    try:
        yield held.json()
    except BaseException:
        await farebox.post(f"{path}/release", json={})
        raise
    await farebox.post(f"{path}/settle", json={})


@app.get("/weather/{city}")
async def weather(city: str, fare: Annotated[dict[str, str], Depends(paid)]) -> dict[str, str]:
    if city == "atlantis":
        raise HTTPException(404, "no such city; nothing was charged")
    return {"city": city, "weather": "sunny", "paid": fare["amount"]}
