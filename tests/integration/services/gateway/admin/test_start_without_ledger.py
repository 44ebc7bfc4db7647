import asyncio
import json

import httpx
import pytest

from libs.runtime.supervision import Lifecycle
from services.gateway.admin.app import serve
from services.gateway.settings import AdminSettings
from tests.support.services import example_config
from tests.support.settings import settings_for
from tests.support.waiting import eventually


async def test_it_does_not_start_without_a_token(database, tmp_path):
    settings = settings_for(AdminSettings, "admin", database, config=example_config(tmp_path))
    with pytest.raises(ValueError, match="FAREBOX_ADMIN_TOKEN"):
        await serve(settings, Lifecycle())


@pytest.mark.requirement("RSV-8")
async def test_before_the_ledger_answers_it_is_not_ready_and_refuses(database, tmp_path):
    settings = settings_for(
        AdminSettings, "admin", database, config=example_config(tmp_path), data_dir=tmp_path,
        process_name="admin", listen="127.0.0.1:0", admin_token="operator-token",
    )  # fmt: skip
    lifecycle = Lifecycle()
    serving = asyncio.create_task(serve(settings, lifecycle))
    run_file = tmp_path / "run" / "admin.json"
    headers = {"authorization": "Bearer operator-token", "idempotency-key": "k"}
    try:

        async def started():
            return run_file.exists() or serving.done()

        await eventually(started)
        ports = json.loads(run_file.read_text())["ports"]
        async with httpx.AsyncClient(timeout=30) as http:
            ready = await http.get(f"http://127.0.0.1:{ports['health']}/health/ready")
            assert (ready.status_code, list(ready.json()["problems"])) == (503, ["ledger"])
            answer = await http.post(
                f"http://127.0.0.1:{ports['http']}/admin/v1/accounts/acct_{'0' * 32}/keys",
                json={"purpose": "inference"},
                headers=headers,
            )
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    finally:
        lifecycle.stop()
        async with asyncio.timeout(10):
            await serving
        await lifecycle.close()
    assert lifecycle.exit_code == 0
