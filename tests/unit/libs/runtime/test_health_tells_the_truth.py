import json

import aiohttp
import pytest

from libs.runtime import metrics
from libs.runtime.health import Health, serve_health
from libs.runtime.settings import Settings
from libs.runtime.supervision import Lifecycle


async def get(port, path):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


def problem(text):
    def check():
        return text

    return check


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, process_name="reader")


async def test_a_process_without_problems_is_ready(settings):
    health = Health()
    health.add("nats", problem(None))
    async with serve_health(settings, health, Lifecycle()) as server:
        status, body = await get(server.port, "/health/ready")
    assert (status, json.loads(body)) == (200, {"ready": True, "problems": {}})


async def test_a_problem_makes_it_not_ready_but_leaves_it_alive(settings):
    health = Health()
    health.add("nats", problem("disconnected"))
    async with serve_health(settings, health, Lifecycle()) as server:
        status, body = await get(server.port, "/health/ready")
        alive, _ = await get(server.port, "/health/live")
    assert (status, json.loads(body)["problems"]) == (503, {"nats": "disconnected"})
    assert alive == 200


async def test_a_check_that_raises_is_a_problem(settings):
    def broken():
        raise RuntimeError("no")

    health = Health()
    health.add("x", broken)
    assert health.problems() == {"x": "RuntimeError('no')"}


async def test_a_stopping_process_is_not_ready(settings):
    lifecycle = Lifecycle()
    async with serve_health(settings, Health(), lifecycle) as server:
        lifecycle.die("connection lost")
        status, body = await get(server.port, "/health/ready")
    assert (status, json.loads(body)["problems"]) == (503, {"lifecycle": "connection lost"})


async def test_the_run_file_names_pid_and_ports_while_the_process_runs(settings, tmp_path):
    import os

    path = tmp_path / "run" / "reader.json"
    async with serve_health(settings, Health(), Lifecycle(), {"http": 8402}) as server:
        assert json.loads(path.read_text()) == {
            "pid": os.getpid(),
            "ports": {"health": server.port, "http": 8402},
        }
        assert [p.name for p in path.parent.iterdir()] == ["reader.json"]
    assert not path.exists()


async def test_a_process_without_a_name_writes_no_run_file(tmp_path):
    async with serve_health(Settings(data_dir=tmp_path), Health(), Lifecycle()):
        pass
    assert list(tmp_path.iterdir()) == []


async def test_metrics_are_served_as_text(settings):
    metrics.counter("health_test_total", "Only here.").inc()
    async with serve_health(settings, Health(), Lifecycle()) as server:
        status, body = await get(server.port, "/metrics")
    assert status == 200
    assert "farebox_health_test_total 1\n" in body


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(settings, tmp_path):
    async with serve_health(Settings(data_dir=tmp_path), Health(), Lifecycle()) as server:
        taken = settings.model_copy(update={"health_port": server.port})
        with pytest.raises(OSError):
            async with serve_health(taken, Health(), Lifecycle()):
                pass
    assert not (tmp_path / "run").exists()
