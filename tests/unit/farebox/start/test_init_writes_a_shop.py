"""Whatever the five answers are, the files are a valid catalogue, or nothing is written."""

import stat

import pytest
from typer.testing import CliRunner

from farebox.dotenv import load_env
from farebox.main import app
from libs.catalogue import load

GIVEN = {
    "openai": ["--item", "gpt-x", "--prices", "0.25/2.00"],
    "anthropic": ["--item", "claude-x", "--prices", "3/15", "--margin", "12.5"],
    "ollama": ["--item", "llama3:8b", "--prices", "0.10/0.10"],
    "vllm": ["--item", "org/model", "--prices", "1/1.000001", "--pack", "25.50"],
    "http": ["--prices", "0.05", "--item", "/v1/Score_it.now"],
}


def init(*words, stdin=None):
    return CliRunner().invoke(app, ["init", *map(str, words)], input=stdin)


@pytest.mark.parametrize("provider", GIVEN)
def test_every_provider_gives_a_catalogue_that_can_be_loaded(tmp_path, provider):
    done = init(tmp_path, "--yes", "--provider", provider, *GIVEN[provider])
    assert done.exit_code == 0, done.output
    catalogue = load(tmp_path / "farebox.toml")
    (plan,) = catalogue.plans.values()
    assert plan.sells == frozenset({*catalogue.models, *catalogue.operations})
    assert catalogue.packs[plan.packs[0]].gives > 0
    (upstream,) = catalogue.upstreams.values()
    own = provider in {"ollama", "vllm"}
    assert upstream.tier == ("standard" if provider in {"openai", "anthropic"} else "project")
    assert upstream.cap_field == ("max_tokens" if own else "max_completion_tokens")
    assert f"{upstream.key_env}=" in (tmp_path / ".env").read_text()
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_prices_and_margin_are_what_was_answered(tmp_path):
    assert init(tmp_path, "--yes", "--provider", "anthropic", *GIVEN["anthropic"]).exit_code == 0
    catalogue = load(tmp_path / "farebox.toml")
    rates = catalogue.upstreams["anthropic"].prices["claude-x"].rates
    assert (rates.input, rates.output) == (3_000_000, 15_000_000)
    assert catalogue.plans["payg"].margin_bps == 1250


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--provider", "aws"], "--provider"),
        (["--item", "gpt-x", "--prices", "0.25"], "--prices"),
        (["--item", "gpt-x", "--prices", "1/-2"], "--prices"),
        (["--item", 'gpt"x', "--prices", "1/2"], "--item"),
        (["--item", "gpt-x", "--prices", "1/2", "--base-url", 'ftp://x"'], "--base-url"),
        (["--item", "gpt-x", "--prices", "1/2", "--margin", "lots"], "--margin"),
        (["--item", "gpt-x", "--prices", "1/2", "--pack", "0.001"], "--pack"),
        (["--prices", "1/2"], "--item is missing"),
        (["--item", "gpt-x", "--prices", "0/0"], "free"),
    ],
)
def test_a_wrong_answer_names_its_option_and_writes_nothing(tmp_path, words, named):
    done = init(tmp_path / "shop", "--yes", *words)
    assert done.exit_code == 2
    assert named in done.output
    assert not (tmp_path / "shop").exists()


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "farebox.toml").write_text("# mine")
    (tmp_path / ".env").write_text("FAREBOX_UPSTREAM_OPENAI_KEY=mine\n")
    words = [tmp_path, "--yes", *GIVEN["openai"]]
    done = init(*words)
    assert (done.exit_code, "--force" in done.output) == (2, True)
    assert (tmp_path / "farebox.toml").read_text() == "# mine"
    assert init(*words, "--force").exit_code == 0
    assert load(tmp_path / "farebox.toml").models
    assert (tmp_path / ".env").read_text() == "FAREBOX_UPSTREAM_OPENAI_KEY=mine\n"


def test_the_env_file_fills_what_is_not_set(tmp_path):
    (tmp_path / ".env").write_text('SET=old\nNEW="a $b#c"\nEMPTY=\n# NO=1\n')
    environment = {"SET": "mine"}
    assert load_env(tmp_path / "farebox.toml", environment) == ["NEW"]
    assert environment == {"SET": "mine", "NEW": "a $b#c"}
    assert load_env(tmp_path / "elsewhere" / "farebox.toml", environment) == []
