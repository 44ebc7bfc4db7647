import subprocess
import sys

import pytest
from typer.testing import CliRunner

from farebox.main import app


def test_help_lists_every_command():
    text = CliRunner().invoke(app, ["--help"]).output
    for word in (
        "up",
        "demo",
        "serve",
        "migrate",
        "provision",
        "admin",
        "audit",
        "bench",
        "catalogue",
        "prices",
    ):
        assert f" {word} " in text, word


@pytest.mark.parametrize(
    "words",
    [
        ["admin"],
        ["audit", "verify"],
        ["bench", "ledger"],
        ["catalogue", "publish"],
        ["prices", "import"],
        ["serve"],
        ["up"],
        ["demo"],
    ],
)
def test_each_command_explains_itself(words):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage" in done.output


def test_the_command_itself_loads_no_service_and_no_client():
    """Six processes start through it: what one of them needs is not paid for by the others."""
    script = "import farebox.main, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [
        name
        for name in loaded
        if name.startswith(("services", "libs", "asyncpg", "nats", "httpx", "alembic", "pydantic"))
    ]
