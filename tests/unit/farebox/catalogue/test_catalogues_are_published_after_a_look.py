"""`farebox catalogue`: the difference first, then published once by its hash."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from farebox.catalogue.command import app
from libs.catalogue import parse
from services.gateway.server import listen, serving
from tests.support.catalogue import EXAMPLE

pytestmark = pytest.mark.requirement("PRC-7", "CRD-6")

TOKEN = "operator-token"
DEARER = EXAMPLE.replace('output = "2.00"', 'output = "3.00"')
OLD, NEW = parse(EXAMPLE), parse(DEARER)


@dataclass
class Published:
    """Answers like /admin/v1/catalogues, and keeps what it was told."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    refusal: tuple[int, dict[str, Any]] | None = None

    def keep(self, text: str, **row: Any) -> str:
        name = hashlib.sha256(text.encode()).hexdigest()
        known = {
            "hash": name, "effective_from": "2026-11-20T12:00:00.000000Z", "withdrawn_from": None,
            "in_force": True, "partitions": 4,
        }  # fmt: skip
        if name not in self.texts:
            self.rows.append(known | row)
        self.texts[name] = text
        return name

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        status, answer = await self._answer(scope, receive)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _answer(self, scope, receive) -> tuple[int, dict[str, Any]]:
        if dict(scope["headers"])[b"authorization"] != f"Bearer {TOKEN}".encode():
            return 401, {"code": "invalid_admin_token", "detail": "not the token"}
        name = scope["path"].removeprefix("/admin/v1/catalogues").strip("/")
        if scope["method"] == "POST":
            body = json.loads((await receive())["body"])
            self.asked.append(body)
            if self.refusal is not None:
                return self.refusal
            self.keep(body["text"])
        elif name:
            if name not in self.texts:
                return 404, {"code": "unknown_catalogue", "detail": "no such catalogue"}
            return 200, {"hash": name, "text": self.texts[name]}
        return 200, {"configured": OLD.hash, "partitions": 4, "catalogues": self.rows}


@dataclass
class Operator:
    url: str
    config: Path
    published: Published

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
    config, published = tmp_path / "farebox.toml", Published()
    config.write_text(DEARER, encoding="utf-8")
    published.keep(OLD.text)
    with listen(("127.0.0.1", 0), shared=False) as listening:
        async with serving(published, listening, grace_s=1):
            yield Operator(f"http://127.0.0.1:{listening.getsockname()[1]}", config, published)


async def test_the_difference_is_shown_and_then_published(operator):
    result = await operator.run("publish", answer="y\n")
    assert result.exit_code == 0, result.output
    assert "plan payg, swift-1\n" in result.stdout
    assert "  output: 2.20 -> 3.30\n" in result.stdout
    (asked,) = operator.published.asked
    assert asked == {"text": NEW.text, "effective_from": None, "withdraws": []}
    assert NEW.hash in result.stdout


async def test_nothing_is_published_without_a_yes(operator):
    refused = await operator.run("publish", answer="n\n")
    silent = await operator.run("publish", "--json")
    assert (refused.exit_code, silent.exit_code, operator.published.asked) == (1, 2, [])


async def test_terms_are_passed_on(operator):
    moment = "2027-01-01T00:00:00Z"
    terms = ("--effective-from", moment, "--withdraw", OLD.hash[:8])
    answer = await operator.json("publish", "--yes", *terms)
    (asked,) = operator.published.asked
    assert (asked["effective_from"], asked["withdraws"]) == (moment, [OLD.hash])
    assert answer["hash"] == NEW.hash
    assert {change["fact"] for change in answer["changes"]} == {"output", "image_output"}


async def test_all_others_can_be_withdrawn_by_one_word(operator):
    operator.published.keep("older", in_force=False)
    result = await operator.run("publish", "--yes", "--withdraw", "others")
    assert operator.published.asked[0]["withdraws"] == [OLD.hash]
    assert f"withdraws {OLD.hash}" in result.stdout


async def test_again_is_safe(operator):
    for _ in range(2):
        await operator.json("publish", "--yes")
    assert [row["hash"] for row in operator.published.rows] == [OLD.hash, NEW.hash]


async def test_what_the_installation_refuses_ends_with_1(operator):
    operator.published.refusal = 409, {"code": "already_published", "detail": "That stands."}
    result = await operator.run("publish", "--yes")
    assert (result.exit_code, "That stands. (already_published, 409)" in result.stderr) == (1, True)


async def test_diff_tells_by_its_status_whether_there_is_one(operator):
    told = await operator.json("diff", status=1)
    assert (told["old"], told["new"]) == (OLD.hash, NEW.hash)
    operator.config.write_text(EXAMPLE, encoding="utf-8")
    assert (await operator.json("diff", OLD.hash[:6]))["changes"] == []
    assert "nothing changes" in (await operator.run("diff", OLD.hash)).stdout


async def test_list_and_show(operator):
    lines = (await operator.run("list")).stdout
    assert f"{OLD.hash} from 2026-11-20T12:00:00.000000Z  in force" in lines
    assert f"{NEW.hash} of this file is not published" in lines
    mine = await operator.json("show")
    theirs = await operator.json("show", OLD.hash[:10])
    assert (mine["hash"], theirs["hash"]) == (NEW.hash, OLD.hash)
    assert mine["plans"]["payg"][0]["output"] == "3.30"
    assert theirs["plans"]["payg"][0]["output"] == "2.20"
    assert "output                   2.20" in (await operator.run("show", OLD.hash)).stdout


async def test_a_text_that_is_not_what_was_published_is_told(operator):
    operator.published.texts[OLD.hash] = NEW.text
    result = await operator.run("show", OLD.hash)
    assert (result.exit_code, "not what was published" in result.stderr) == (1, True)


async def test_a_hash_must_name_one(operator):
    for name in ("f" * 64, ""):
        operator.published.keep("other")
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
    result = await operator.run("list")
    assert (result.exit_code, "cannot be asked" in result.stderr) == (1, True)
