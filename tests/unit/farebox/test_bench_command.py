"""What `farebox bench` needs before it can measure anything, and how it counts."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from deploy.local.launch import free_port
from farebox.bench.access import BenchError, access
from farebox.bench.commands import Endings, Reserves
from farebox.bench.histogram import Histogram, histogram_of
from farebox.main import app
from libs.events.codec import decode_command
from libs.events.ids import new_id

PASSWORDS = ("FAREBOX_NATS_GATEWAY_PASSWORD", "FAREBOX_NATS_ADMIN_PASSWORD")


@pytest.fixture(autouse=True)
def no_passwords(monkeypatch):
    for name in ("FAREBOX_NATS_URL", "FAREBOX_HOME", *PASSWORDS):
        monkeypatch.delenv(name, raising=False)


def installation(folder, port):
    (folder / "run").mkdir()
    (folder / "run" / "ports.json").write_text(json.dumps({"nats": port}))
    secrets = folder / "secrets.env"
    secrets.write_text("".join(f"{name}=secret\n" for name in PASSWORDS))
    secrets.chmod(0o600)


def test_a_folder_without_installation_is_named_and_stays_empty(tmp_path):
    done = CliRunner().invoke(app, ["bench", "ledger", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert f"no installation runs in {tmp_path}" in done.output
    assert "farebox up" in done.output
    assert list(tmp_path.iterdir()) == []


def test_an_installation_that_was_stopped_is_not_reached(tmp_path):
    installation(tmp_path, free_port())
    done = CliRunner().invoke(app, ["bench", "ledger", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert "no NATS server at nats://127.0.0.1:" in done.output


def test_another_server_needs_both_passwords(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORDS[0], "known")
    with pytest.raises(BenchError, match=PASSWORDS[1]):
        access("nats://127.0.0.1:4222", tmp_path)
    monkeypatch.setenv(PASSWORDS[1], "known too")
    assert access("nats://127.0.0.1:4222", tmp_path).passwords == {
        "gateway": "known", "admin": "known too"
    }  # fmt: skip


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--callers", "0"], ["--accounts", "0"],
                                   ["--seconds", "601"], ["--callers", "1025"]])  # fmt: skip
def test_load_is_bounded(words):
    assert CliRunner().invoke(app, ["bench", "ledger", *words]).exit_code == 2


def test_what_it_sends_is_what_the_contract_says():
    account, key = new_id("acct"), new_id("key")
    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    raw, res = Reserves(hold_s=120, deadline=deadline).one(account, key)
    reserve = decode_command(raw)
    assert (reserve.kind, reserve.caller_id, reserve.account_id) == ("Reserve", res, account)
    assert (reserve.data.key_id, reserve.data.amount, reserve.data.hold_ms) == (key, 1, 120_000)
    assert reserve.deadline == deadline
    settle = decode_command(Endings().settle(account, res))
    assert (settle.kind, settle.caller_id, settle.account_id) == ("Settle", res, account)
    assert (settle.data.res, settle.data.charge) == (res, 1)
    release = decode_command(Endings().release(account, res))
    assert (release.kind, release.caller_id, release.data.res) == ("Release", res, res)


def test_percentiles_are_known_to_a_twentieth():
    times = histogram_of(n / 1000 for n in range(1, 1001))
    assert times.total == 1000
    for percent, true_ms in ((50, 500), (90, 900), (99, 990), (100, 1000)):
        assert true_ms <= times.percentile_ms(percent) <= true_ms * 1.05
    assert Histogram().percentile_ms(99) == 0


def test_histogram_counts_every_time_once_also_when_merged():
    first, second = histogram_of([0.0, 0.0001, 0.0015]), histogram_of([0.0105, 3.0, 99.0])
    first.merge(second)
    counts = first.by_ms()
    assert sum(counts.values()) == 6
    assert (counts["2"], counts["5000"], counts["more"]) == (1, 1, 1)
    assert first.longest_s == 99.0
    assert len(first.lines()) == 16
    assert Histogram().lines() == []
