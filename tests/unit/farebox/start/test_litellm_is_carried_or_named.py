"""What LiteLLM's configuration says is carried exactly, or named as not carried."""

import json

import pytest
from typer.testing import CliRunner

from farebox.main import app
from libs.catalogue import parse

CONFIG = """
model_list:
  - model_name: swift
    litellm_params:
      model: openai/gpt-x
      api_key: os.environ/OPENAI_API_KEY
      input_cost_per_token: 2.5e-07
      output_cost_per_token: 0.000002
      max_tokens: 1000
      rpm: 60
    model_info:
      max_input_tokens: 400000
      max_output_tokens: 32000
      mode: chat
  - model_name: own
    litellm_params:
      model: hosted_vllm/org/model
      api_base: http://10.0.0.5:8000/v1/
      api_key: sk-written-down
    model_info: {input_cost_per_token: 0.0000001, output_cost_per_token: 0.0000003}
  - model_name: free
    litellm_params: {model: openai/unpriced}
  - model_name: "gpt-*"
    litellm_params: {model: "openai/*"}
  - model_name: cloud
    litellm_params: {model: bedrock/titan, input_cost_per_token: 1.0e-6, output_cost_per_token: 1.0e-6}
  - model_name: nowhere
    litellm_params: {model: hosted_vllm/m, input_cost_per_token: 1.0e-6, output_cost_per_token: 1.0e-6}
  - just a text
litellm_settings:
  cost_margin_config: {global: 0.15, openai: 0.2}
  callbacks: [x]
router_settings: {routing_strategy: least-busy}
general_settings: {master_key: sk-1234}
"""


def convert(tmp_path, text, *words):
    (tmp_path / "config.yaml").write_text(text)
    return CliRunner().invoke(app, ["import", "litellm", str(tmp_path / "config.yaml"), *words])


def carried(tmp_path, text=CONFIG):
    done = convert(tmp_path, text, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_models_prices_limits_and_margin_are_carried_exactly(tmp_path):
    catalogue = parse(carried(tmp_path)["farebox_toml"])
    price = catalogue.upstreams["openai"].prices["gpt-x"]
    assert (price.rates.input, price.rates.output) == (250_000, 2_000_000)
    assert (price.max_input, price.max_output) == (400_000, 32_000)
    assert catalogue.models["swift"].default_max_output == 1000
    assert catalogue.upstreams["hosted-vllm"].base_url == "http://10.0.0.5:8000/v1"
    caps = [catalogue.upstreams[name].cap_field for name in ("openai", "hosted-vllm")]
    assert caps == ["max_completion_tokens", "max_tokens"]
    tiers = [catalogue.upstreams[name].tier for name in ("openai", "hosted-vllm")]
    assert tiers == ["standard", "project"]
    assert catalogue.plans["payg"].margin_bps == 1500
    assert catalogue.plans["payg"].sells == frozenset({"swift", "own"})


def test_all_that_is_not_carried_is_named(tmp_path):
    left = "\n".join(carried(tmp_path)["not_carried"])
    for named in (
        "model_list[0].litellm_params.rpm",
        "model_list[0].model_info.mode",
        'model_list[2]: "openai/unpriced" has no input_cost_per_token',
        "model_list[3]: ",
        'model_list[4]: provider "bedrock"',
        "model_list[5]: has no api_base",
        "model_list[6]: ",
        "litellm_settings.cost_margin_config.openai",
        "litellm_settings.callbacks",
        "router_settings.routing_strategy",
        "general_settings.master_key",
    ):
        assert named in left


def test_secrets_are_told_by_where_they_are_and_never_copied(tmp_path):
    answer = carried(tmp_path)
    assert answer["keys"] == {
        "FAREBOX_UPSTREAM_OPENAI_KEY": "OPENAI_API_KEY",
        "FAREBOX_UPSTREAM_HOSTED_VLLM_KEY": "the key written in config.yaml",
    }
    assert "sk-" not in json.dumps(answer)


def test_a_written_file_is_not_replaced(tmp_path):
    out = str(tmp_path / "farebox.toml")
    assert convert(tmp_path, CONFIG, "--out", out).exit_code == 0
    again = convert(tmp_path, CONFIG, "--out", out)
    assert (again.exit_code, "is there already" in again.output) == (2, True)


@pytest.mark.parametrize("text", ["model_list: [", "- a", "model_list: 5", "{}"])
def test_what_is_no_configuration_is_refused(tmp_path, text):
    done = convert(tmp_path, text)
    assert done.exit_code == 2
    assert "farebox import: " in done.output


@pytest.mark.parametrize("cost", ["abc", "-1.0e-6", ".nan", "1.0e-13", "[1]"])
def test_a_cost_that_is_no_exact_price_is_not_rounded(tmp_path, cost):
    text = (
        "model_list: [{model_name: m, litellm_params: "
        f"{{model: openai/m, input_cost_per_token: {cost}, output_cost_per_token: 1.0e-6}}}}]"
    )
    done = convert(tmp_path, text)
    assert done.exit_code == 1
    assert "input_cost_per_token" in done.output
