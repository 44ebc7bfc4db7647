import os
import subprocess
import sys

import pytest

from tests.support.catalogue import EXAMPLE

BROKEN = EXAMPLE.replace('currency = "USD" ', 'currency = "usd" ').replace(
    "default_max_output = 4096", "default_max_output = 0"
)


def farebox(*words, cwd, **env):
    return subprocess.run(
        [sys.executable, "-m", "farebox.main", *words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def broken(tmp_path):
    assert BROKEN != EXAMPLE
    (tmp_path / "farebox.toml").write_text(BROKEN)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["up"],
        *(["serve", n] for n in ("gateway", "admin", "payments", "recharge")),
        ["migrate"],
        ["provision"],
    ],
)
def test_every_error_of_the_file_is_named_at_once(broken, words):
    done = farebox(*words, cwd=broken)
    assert done.returncode == 2, done.stderr
    assert "catalogue.currency" in done.stderr
    assert "default_max_output" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (broken / ".farebox" / "postgres").exists()


def test_a_missing_file_is_named(tmp_path):
    done = farebox("up", "--config", "other.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "other.toml" in done.stderr


def test_every_wrong_variable_is_named_without_its_value(tmp_path):
    env = {"FAREBOX_EXPIRY_GRACE_S": "soon", "FAREBOX_HEALTH_PORT": "sk-secret"}
    done = farebox("serve", "ledger", cwd=tmp_path, **env)
    assert done.returncode == 2
    assert "FAREBOX_EXPIRY_GRACE_S: " in done.stderr
    assert "FAREBOX_HEALTH_PORT: " in done.stderr
    assert "sk-secret" not in done.stderr


def test_a_fault_point_is_refused_without_leave(tmp_path):
    done = farebox("serve", "ledger", cwd=tmp_path, FAREBOX_FAULT_POINT="after_append")
    assert done.returncode == 2
    assert "FAREBOX_FAULTS=1" in done.stderr


def test_an_unknown_process_is_answered_with_the_known_ones(tmp_path):
    done = farebox("serve", "legder", cwd=tmp_path)
    assert done.returncode == 2
    assert "ledger, reader, gateway, admin, payments, recharge" in done.stderr
