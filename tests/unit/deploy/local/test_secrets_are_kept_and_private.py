import stat

import pytest

from deploy.local.errors import LocalServerError
from deploy.local.secrets import Secrets


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data" / "secrets.env"


def test_a_generated_secret_is_the_same_for_the_next_start(file):
    first = Secrets(file)["FAREBOX_ADMIN_TOKEN"]
    assert len(first) >= 43
    assert Secrets(file)["FAREBOX_ADMIN_TOKEN"] == first
    assert Secrets(file)["FAREBOX_OTHER"] != first


def test_only_the_owner_reads_the_file(file):
    Secrets(file)["FAREBOX_ADMIN_TOKEN"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_variable_that_is_set_wins_and_is_not_written_down(file, monkeypatch):
    generated = Secrets(file)["FAREBOX_ADMIN_TOKEN"]
    monkeypatch.setenv("FAREBOX_ADMIN_TOKEN", "mine")
    monkeypatch.setenv("FAREBOX_OTHER", "other")
    assert Secrets(file)["FAREBOX_ADMIN_TOKEN"] == "mine"
    assert Secrets(file)["FAREBOX_OTHER"] == "other"
    assert file.read_text() == f"FAREBOX_ADMIN_TOKEN={generated}\n"


def test_an_empty_variable_counts_as_not_set(file, monkeypatch):
    monkeypatch.setenv("FAREBOX_ADMIN_TOKEN", "")
    assert Secrets(file)["FAREBOX_ADMIN_TOKEN"]


def test_a_file_that_others_can_read_is_refused_by_name(file):
    Secrets(file)["FAREBOX_ADMIN_TOKEN"]
    file.chmod(0o644)
    with pytest.raises(LocalServerError, match=f"chmod 600 {file}"):
        Secrets(file)


@pytest.mark.parametrize("line", ["FAREBOX_ADMIN_TOKEN", "=x", "FAREBOX_ADMIN_TOKEN="])
def test_a_damaged_line_is_named_by_its_number(file, line):
    file.parent.mkdir()
    file.write_text(f"FAREBOX_OTHER=x\n{line}\n")
    file.chmod(0o600)
    with pytest.raises(LocalServerError, match="line 2"):
        Secrets(file)
