import pytest
from pydantic import ValidationError

from libs.runtime.settings import Settings


def test_a_process_reads_its_variables(monkeypatch):
    monkeypatch.setenv("FAREBOX_NATS_URL", "nats://127.0.0.1:5555")
    monkeypatch.setenv("FAREBOX_NATS_PASSWORD", "hush")
    monkeypatch.setenv("FAREBOX_DATABASE_URL", "postgresql://a:b@127.0.0.1:1/farebox")
    settings = Settings()
    assert settings.nats_url == "nats://127.0.0.1:5555"
    assert settings.nats_password.get_secret_value() == "hush"
    assert settings.database_url == "postgresql://a:b@127.0.0.1:1/farebox"


def test_secrets_do_not_show_when_settings_are_printed():
    settings = Settings(nats_password="hush", database_url="postgresql://a:secret@h:1/d")
    assert "hush" not in repr(settings)
    assert "secret" not in repr(settings)


def test_a_fault_point_is_refused_unless_faults_are_allowed(monkeypatch):
    monkeypatch.setenv("FAREBOX_FAULT_POINT", "after_append")
    with pytest.raises(ValidationError, match="refused unless FAREBOX_FAULTS=1"):
        Settings()
    monkeypatch.setenv("FAREBOX_FAULTS", "1")
    assert Settings().fault_point == "after_append"


@pytest.mark.parametrize("text", ["nowhere", "after_append:0", "after_append:x", ":3"])
def test_a_fault_point_that_does_not_exist_is_refused(text):
    with pytest.raises(ValidationError, match="fault point"):
        Settings(faults=True, fault_point=text)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(ValidationError):
        Settings(health_port=port)
