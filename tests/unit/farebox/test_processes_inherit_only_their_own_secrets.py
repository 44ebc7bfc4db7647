import pytest

from farebox.environment import inherited

SHELL = {
    "PATH": "/bin",
    "LANG": "C.UTF-8",
    "FAREBOX_LOG_LEVEL": "DEBUG",
    "FAREBOX_EXPIRY_GRACE_S": "1",
    "FAREBOX_UPSTREAM_NORTH_KEY": "north",
    "FAREBOX_REDIS_URL": "redis://user:secret@host",
    "FAREBOX_STRIPE_API_KEY": "sk",
    "FAREBOX_STRIPE_WEBHOOK_SECRET": "whsec",
    "FAREBOX_ADMIN_TOKEN": "token",
    "FAREBOX_POSTGRES_PASSWORD": "pg",
    "FAREBOX_NATS_LEDGER_PASSWORD": "nats",
    "FAREBOX_NATS_PASSWORD": "nats",
    "OPENAI_API_KEY": "mine",
    "AWS_SECRET_ACCESS_KEY": "mine",
    "GITHUB_TOKEN": "mine",
}
SECRETS = {
    "gateway": {"FAREBOX_UPSTREAM_NORTH_KEY", "FAREBOX_REDIS_URL"},
    "payments": {"FAREBOX_STRIPE_API_KEY", "FAREBOX_STRIPE_WEBHOOK_SECRET"},
    "admin": {"FAREBOX_ADMIN_TOKEN"},
    "ledger": set(),
    "reader": set(),
    "recharge": set(),
    "migrate": set(),
    "provision": set(),
}
ORDINARY = {"PATH", "LANG", "FAREBOX_LOG_LEVEL", "FAREBOX_EXPIRY_GRACE_S"}


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_gets_ordinary_variables_and_its_own_secrets_only(kind):
    assert inherited(kind, SHELL).keys() == ORDINARY | SECRETS[kind]


def test_an_upstream_s_key_may_have_any_name():
    shell = {"NORTH_API_TOKEN": "x", "SOUTH_API_TOKEN": "y"}
    assert inherited("gateway", shell, ["NORTH_API_TOKEN"]) == {"NORTH_API_TOKEN": "x"}


@pytest.mark.parametrize(
    "name", ["FAULTS", "FAULT_POINT", "LISTEN", "PROCESS_NAME", "DATABASE_URL"]
)
def test_what_is_meant_for_one_process_or_for_tests_is_not_handed_on(name):
    assert inherited("ledger", {f"FAREBOX_{name}": "x"}) == {}
