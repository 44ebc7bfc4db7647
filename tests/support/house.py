"""Both JSON APIs as they run: own NATS users, the ledger, its reader, a gateway and a provider."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from libs.events.ids import new_id
from services.gateway import app as gateway_app
from services.gateway.admin import app as admin_app
from services.gateway.settings import AdminSettings, GatewaySettings
from services.ledger import app as ledger_app
from services.ledger import reader
from services.ledger.settings import LedgerSettings, ReaderSettings
from simulators.provider.app import DEFAULT_KEY, running_provider
from tests.support.services import example_config, running
from tests.support.settings import settings_for

TOKEN = "operator-token"
VIEWER, SUPPORT = "a-viewers-own-token", "a-token-of-support"


@asynccontextmanager
async def open_house(database: Any, folder: Path) -> AsyncIterator[Any]:
    """Everything but payments, on the example's plans, with what these leave out switched on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAREBOX_UPSTREAM_NORTH_KEY", DEFAULT_KEY)
        patch.setenv("FAREBOX_UPSTREAM_SCORER_KEY", DEFAULT_KEY)
        async with running_provider() as provider:
            config = example_config(folder)
            text = config.read_text().replace("https://llm.north.example", provider.url)
            text = text.replace("http://127.0.0.1:9100", provider.url)
            config.write_text(
                text.replace("# initial = ", "initial = ").replace("# fee = ", "fee = ")
            )

            def settings(kind: Any, process: str, **more: Any) -> Any:
                common = {"data_dir": folder, "config": config, "process_name": process}
                return settings_for(kind, process, database, **common | more)

            port = {"listen": "127.0.0.1:0"}
            more = f"vera:viewer:{VIEWER},sam:support:{SUPPORT}"
            admin = settings(AdminSettings, "admin", admin_token=TOKEN, admin_tokens=more, **port)
            async with (
                running(ledger_app.serve, settings(LedgerSettings, "ledger")),
                running(reader.serve, settings(ReaderSettings, "reader")),
                running(admin_app.serve, admin),
                running(gateway_app.serve, settings(GatewaySettings, "gateway", **port)),
                httpx.AsyncClient(timeout=20) as http,
            ):
                yield SimpleNamespace(
                    http=http,
                    admin=_url(folder, "admin") + "/admin/v1",
                    gateway=_url(folder, "gateway"),
                    provider=provider,
                    database=database,
                )


def _url(folder: Any, process: str) -> str:
    run = json.loads((folder / "run" / f"{process}.json").read_text())
    return f"http://127.0.0.1:{run['ports']['http']}"


async def operate(
    house: Any, path: str, body: Any, key: str | None = None, token: str = TOKEN
) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", "idempotency-key": key or new_id("req")}
    return await house.http.post(house.admin + path, json=body, headers=headers)


async def look(house: Any, path: str, token: str = TOKEN, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return await house.http.get(house.admin + path, headers=headers, **more)


async def ask(house: Any, secret: str, path: str, method: str = "GET", **more: Any) -> Any:
    headers = {"authorization": f"Bearer {secret}"}
    url = f"{house.gateway}/billing/v1{path}"
    return await house.http.request(method, url, headers=headers, **more)


async def customer(house: Any, amount: str = "5.00") -> SimpleNamespace:
    account = (await operate(house, "/accounts", {"plan": "payg"})).json()["account_id"]
    granted = await operate(
        house, f"/accounts/{account}/grants", {"amount": amount, "reason_code": "test"}
    )
    assert granted.json()["available"] == amount, granted.text
    return await _with_keys(house, account)


async def studio(house: Any, **body: Any) -> SimpleNamespace:
    """An account of whole credits, which begins with what its plan gives."""
    opened = await operate(house, "/accounts", {"plan": "studio"} | body)
    assert opened.status_code == 201, opened.text
    who = await _with_keys(house, opened.json()["account_id"])
    who.opened = opened.json()
    return who


async def _with_keys(house: Any, account: str) -> SimpleNamespace:
    keys = {
        purpose: (await operate(house, f"/accounts/{account}/keys", {"purpose": purpose})).json()
        for purpose in ("inference", "account")
    }
    return SimpleNamespace(
        account=account,
        inference=keys["inference"]["secret"],
        owner=keys["account"]["secret"],
        key_id=keys["inference"]["key_id"],
        owner_key=keys["account"]["key_id"],
    )


async def service_key(house: Any, account: str) -> str:
    """The secret of a new key that reserves for the account; only operators make them."""
    made = await operate(house, f"/accounts/{account}/keys", {"purpose": "service"})
    assert made.status_code == 201, made.text
    return str(made.json()["secret"])


async def chat(house: Any, secret: str, **headers: str) -> httpx.Response:
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "hello"}]}
    return await house.http.post(
        f"{house.gateway}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {secret}"} | headers,
    )


async def score(house: Any, secret: str) -> httpx.Response:
    return await house.http.post(
        f"{house.gateway}/v1/score-image",
        json={"image": "cat"},
        headers={"authorization": f"Bearer {secret}"},
    )
