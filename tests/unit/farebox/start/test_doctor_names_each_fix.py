"""`farebox doctor` on a healthy and on a broken installation: each failure names its fix."""

import asyncio
import contextlib
import json
import os
import socket

import httpx
import pytest
from typer.testing import CliRunner

from farebox.main import app
from farebox.start import upstreams
from libs.catalogue import load
from simulators.provider.app import DEFAULT_KEY, running_provider
from tests.support.gateway import script

KEY = "FAREBOX_UPSTREAM_NORTH_KEY"
CONFIG = """
[catalogue]
currency = "USD"
[upstreams.north]
shape = "openai"
base_url = "@/v1"
key_env = "FAREBOX_UPSTREAM_NORTH_KEY"
prices."swift-1" = {{ input = "0.25", output = "2.00", max_input = 8000, max_output = 8000 }}
[upstreams.scorer]
shape = "http"
base_url = "@"
key_env = "FAREBOX_UPSTREAM_SCORER_KEY"
[models."swift-1"]
routes = ["north/swift-1"]
[plans.payg]
unit = "USD"
sells = ["swift-1"]
[gateway]
listen = "127.0.0.1:{0}"
admin_listen = "127.0.0.1:{1}"
[payments]
listen = "127.0.0.1:{2}"
"""


@pytest.fixture(scope="module")
async def provider():
    async with running_provider() as running:
        yield running


@pytest.fixture
def folder(tmp_path, provider, monkeypatch):
    provider.record.reset()
    with held_ports(3) as ports:
        text = CONFIG.format(*ports).replace("@", provider.url)
    (tmp_path / "farebox.toml").write_text(text)
    (tmp_path / ".env").write_text(f"{KEY}={DEFAULT_KEY}\nFAREBOX_UPSTREAM_SCORER_KEY=s\n")
    (tmp_path / ".env").chmod(0o600)
    for name in [name for name in os.environ if name.startswith("FAREBOX_")]:
        monkeypatch.delenv(name)
    yield tmp_path
    for name in (KEY, "FAREBOX_UPSTREAM_SCORER_KEY"):
        os.environ.pop(name, None)


@contextlib.contextmanager
def held_ports(count):
    """Free ports, told apart by being held at the same time."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in held]


async def doctor(folder, *words):
    words = ["--config", str(folder / "farebox.toml"), "--data", str(folder / ".farebox"), *words]
    done = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *words, "--json"])
    found = {each["check"]: each for each in json.loads(done.stdout)}
    return done.exit_code, found


async def test_a_healthy_installation_is_told_so(folder, provider):
    status, found = await doctor(folder)
    assert status == 0, found
    assert found["north/swift-1"]["verdict"] == "ok"
    assert found["clock"]["verdict"] == "ok"
    assert found["stripe key"]["verdict"] == "warning"
    (call,) = provider.record.calls
    assert call.body["max_completion_tokens"] == 1
    assert call.headers["authorization"] == f"Bearer {DEFAULT_KEY}"


async def test_no_calls_asks_no_upstream(folder, provider):
    status, _ = await doctor(folder, "--no-calls")
    assert status == 0
    assert provider.record.calls == []


@pytest.mark.parametrize(
    ("status", "named"), [(401, "not accepted"), (404, "no such model"), (429, "limits this key")]
)
async def test_what_the_upstream_refuses_names_its_fix(folder, provider, status, named):
    script(provider, status=status)
    code, found = await doctor(folder)
    assert code == 1
    assert named in found["north/swift-1"]["fix"]


async def test_an_upstream_that_ignores_its_cap_is_found(folder, provider):
    script(provider, words=9, ignore_cap=True)
    code, found = await doctor(folder)
    assert code == 1
    assert "9 tokens where max_completion_tokens allowed one" in found["north/swift-1"]["detail"]
    fix = 'cap_field = "max_tokens"'
    assert found["north/swift-1"]["fix"] == f"set upstreams.north.{fix}"
    path = folder / "farebox.toml"
    path.write_text(path.read_text().replace('shape = "openai"', f'shape = "openai"\n{fix}'))
    code, found = await doctor(folder)
    assert (code, found["north/swift-1"]["verdict"]) == (0, "ok")
    asked = {"max_tokens", "max_completion_tokens"} & provider.record.calls[-1].body.keys()
    assert asked == {"max_tokens"}


async def test_an_upstream_that_knows_no_tiers_is_found(folder, provider):
    path = folder / "farebox.toml"
    path.write_text(
        path.read_text().replace('shape = "openai"', 'shape = "openai"\ntier = "standard"')
    )
    code, found = await doctor(folder)
    assert (code, found["north/swift-1"]["verdict"]) == (0, "ok")
    assert provider.record.calls[-1].body["service_tier"] == "default"
    refused = httpx.Response(422, json={"error": "service_tier: not permitted"})
    upstream = load(path).upstreams["north"]
    assert upstreams._refused("x", upstream, refused).fix == 'set upstreams.north.tier = "project"'


async def test_an_upstream_that_is_away_is_named(folder):
    text = (folder / "farebox.toml").read_text()
    with held_ports(1) as (port,):
        pass
    (folder / "farebox.toml").write_text(
        text.replace('base_url = "http://127.0.0.1', f'base_url = "http://127.0.0.1:{port}/x" #')
    )
    code, found = await doctor(folder)
    assert code == 1
    assert "base_url" in found["north/swift-1"]["fix"]
    assert "base_url" in found["server of scorer"]["fix"]


async def test_a_taken_port_and_open_secrets_are_named(folder):
    (folder / ".env").chmod(0o644)
    port = int(
        (folder / "farebox.toml").read_text().split('admin_listen = "127.0.0.1:')[1][:5].rstrip('"')
    )
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        code, found = await doctor(folder, "--no-calls")
    assert code == 1
    assert found["gateway.admin_listen"]["verdict"] == "failure"
    assert found["secrets"]["fix"] == f"chmod 600 {folder / '.env'}"


async def test_every_fault_of_the_configuration_is_named(folder):
    (folder / "farebox.toml").write_text("[models.m]\nroutes = []\n")
    done = await asyncio.to_thread(
        CliRunner().invoke, app, ["doctor", "--config", str(folder / "farebox.toml"), "--json"]
    )
    faults = [each for each in json.loads(done.stdout) if each["check"] == "configuration"]
    assert done.exit_code == 1
    assert len(faults) > 1
    assert all(each["verdict"] == "failure" and each["fix"] for each in faults)


@pytest.mark.parametrize("off_s", [-60, 60])
def test_a_clock_that_is_off_is_a_warning(off_s):
    (found,) = upstreams._clock([off_s, off_s * 2])
    assert found.verdict == "warning"
    assert "NTP" in found.fix


@pytest.mark.parametrize(
    ("key", "secret", "verdicts"),
    [
        ("sk_test_1", "whsec_1", ["ok", "ok"]),
        ("sk_live_1", "", ["ok", "failure"]),
        ("pk_live_1", "whsec_1", ["failure", "ok"]),
    ],
)
async def test_stripes_secrets_are_told_by_their_form(folder, monkeypatch, key, secret, verdicts):
    monkeypatch.setenv("FAREBOX_STRIPE_API_KEY", key)
    monkeypatch.setenv("FAREBOX_STRIPE_WEBHOOK_SECRET", secret)
    _, found = await doctor(folder, "--no-calls")
    assert [found["stripe key"]["verdict"], found["stripe webhooks"]["verdict"]] == verdicts
