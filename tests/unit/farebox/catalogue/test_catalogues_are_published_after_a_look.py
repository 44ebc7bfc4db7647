"""`farebox catalogue`: the difference first, then published once by its hash."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from farebox.catalogue.command import app
from libs.catalogue import parse
from libs.events.commands import PublishCatalogue
from services.gateway.admin.api import admin_api
from services.gateway.admin.context import Admin
from services.gateway.admin.roles import holders, operators
from services.gateway.publishing import publish_first
from services.gateway.server import listen, serving
from tests.support.catalogue import EXAMPLE
from tests.support.ledger_in_memory import LedgerInMemory

pytestmark = pytest.mark.requirement("PRC-7", "CRD-6")

TOKEN = "operator-token"
DEARER = EXAMPLE.replace('output = "2.00"', 'output = "3.00"')
OLD, NEW = parse(EXAMPLE), parse(DEARER)


@dataclass
class Operator:
    url: str
    config: Path
    ledger: LedgerInMemory

    @property
    def told(self) -> list[PublishCatalogue]:
        """What the partitions were told, but for the example that came first."""
        return [command for command in self.ledger.sent if command.data.hash != OLD.hash]

    async def run(self, *arguments: str, answer: str | None = None, token: str = TOKEN) -> Result:
        env = {
            "FAREBOX_ADMIN_URL": self.url,
            "FAREBOX_ADMIN_TOKEN": token,
            "FAREBOX_CONFIG": str(self.config),
        }
        return await asyncio.to_thread(
            CliRunner().invoke, app, list(arguments), env=env, input=answer
        )

    async def json(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    """An installation that sells by the example, and a dearer farebox.toml."""
    config, ledger = tmp_path / "farebox.toml", LedgerInMemory("admin")
    config.write_text(DEARER, encoding="utf-8")
    await publish_first(ledger, OLD.ledger.partitions, OLD)
    app = admin_api(Admin(OLD, ledger, None), holders(operators(TOKEN)))
    with listen(("127.0.0.1", 0), shared=False) as listening:
        async with serving(app, listening, grace_s=1):
            yield Operator(f"http://127.0.0.1:{listening.getsockname()[1]}", config, ledger)


async def test_the_difference_is_shown_and_then_published(operator):
    result = await operator.run("publish", answer="y\n")
    assert result.exit_code == 0, result.output
    assert "plan payg, swift-1\n" in result.stdout
    assert "  output: 2.20 -> 3.30\n" in result.stdout
    assert len(operator.told) == NEW.ledger.partitions
    assert {(one.data.text, one.data.withdraws) for one in operator.told} == {(NEW.text, ())}
    assert NEW.hash in result.stdout


async def test_nothing_is_published_without_a_yes(operator):
    refused = await operator.run("publish", answer="n\n")
    silent = await operator.run("publish", "--json")
    assert (refused.exit_code, silent.exit_code, operator.told) == (1, 2, [])


async def test_terms_are_passed_on(operator):
    moment = "2027-01-01T00:00:00Z"
    terms = ("--effective-from", moment, "--withdraw", OLD.hash[:8])
    answer = await operator.json("publish", "--yes", *terms)
    assert {one.data.withdraws for one in operator.told} == {(OLD.hash,)}
    rows = {row["hash"]: row for row in answer["catalogues"]}
    assert rows[NEW.hash]["effective_from"] == "2027-01-01T00:00:00.000000Z"
    assert rows[OLD.hash]["withdrawn_from"] == "2027-01-01T00:00:00.000000Z"
    assert answer["hash"] == NEW.hash
    assert {change["fact"] for change in answer["changes"]} == {"output", "image_output"}


async def test_all_others_can_be_withdrawn_by_one_word(operator):
    result = await operator.run("publish", "--yes", "--withdraw", "others")
    assert {one.data.withdraws for one in operator.told} == {(OLD.hash,)}
    assert f"withdraws {OLD.hash}" in result.stdout
    # What is over is not among the others a second time.
    again = operator.config.read_text().replace('output = "3.00"', 'output = "4.00"')
    operator.config.write_text(again)
    await operator.run("publish", "--yes", "--withdraw", "others")
    assert operator.told[-1].data.withdraws == (NEW.hash,)


async def test_again_is_safe(operator):
    for _ in range(2):
        await operator.json("publish", "--yes")
    told = await operator.json("list")
    assert [row["hash"] for row in told["catalogues"]] == [OLD.hash, NEW.hash]
    assert len(operator.told) == NEW.ledger.partitions
    assert "in force already" in (await operator.run("publish")).stdout


async def test_with_nothing_else_in_force_there_is_no_difference(operator):
    await operator.json("publish", "--yes", "--withdraw", "others")
    assert (await operator.json("diff"))["changes"] == []


async def test_what_the_installation_refuses_ends_with_1(operator):
    await operator.json("publish", "--yes")
    result = await operator.run("publish", "--yes", "--effective-from", "2027-01-01T00:00:00Z")
    assert (result.exit_code, "already_published, 409" in result.stderr) == (1, True)
    assert "safe to repeat" in result.stderr


async def test_diff_tells_by_its_status_whether_there_is_one(operator):
    told = await operator.json("diff", status=1)
    assert (told["old"], told["new"]) == (OLD.hash, NEW.hash)
    operator.config.write_text(EXAMPLE, encoding="utf-8")
    assert (await operator.json("diff", OLD.hash[:6]))["changes"] == []
    assert "nothing changes" in (await operator.run("diff", OLD.hash)).stdout


async def test_list_and_show(operator):
    lines = (await operator.run("list")).stdout
    assert re.search(f"{OLD.hash} from 20[0-9T:.Z-]+  in force", lines)
    assert f"{NEW.hash} of this file is not published" in lines
    mine = await operator.json("show")
    theirs = await operator.json("show", OLD.hash[:10])
    assert (mine["hash"], theirs["hash"]) == (NEW.hash, OLD.hash)
    assert mine["plans"]["payg"][0]["output"] == "3.30"
    assert theirs["plans"]["payg"][0]["output"] == "2.20"
    assert "output                   2.20" in (await operator.run("show", OLD.hash)).stdout


async def test_a_text_that_is_not_what_was_published_is_told(operator):
    operator.ledger.told["catalogue"] = {"hash": OLD.hash, "text": NEW.text}
    result = await operator.run("show", OLD.hash)
    assert (result.exit_code, "not what was published" in result.stderr) == (1, True)


async def test_a_hash_must_name_one(operator):
    await operator.json("publish", "--yes")
    for name in ("f" * 64, ""):
        result = await operator.run("show", name)
        assert (result.exit_code, "published catalogues; there are" in result.stderr) == (1, True)


async def test_a_bad_file_or_a_missing_token_ends_with_2(operator):
    missing = await operator.run("publish", token="")
    assert (missing.exit_code, "FAREBOX_ADMIN_TOKEN" in missing.stderr) == (2, True)
    operator.config.write_text("x = 1", encoding="utf-8")
    bad = await operator.run("publish")
    assert (bad.exit_code, "x: is not a known key" in bad.stderr) == (2, True)
    wrong = await operator.run("list", token="other")
    assert (wrong.exit_code, "invalid_admin_token" in wrong.stderr) == (1, True)


async def test_an_address_where_nobody_listens_is_told(operator):
    operator.url = "http://127.0.0.1:9"
    for command, status in (("list", 1), ("diff", 2)):
        result = await operator.run(command)
        assert (result.exit_code, "cannot be asked" in result.stderr) == (status, True)
