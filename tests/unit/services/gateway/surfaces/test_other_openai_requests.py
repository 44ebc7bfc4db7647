"""Text completions, embeddings and responses: what goes up is what was bounded."""

from dataclasses import replace

import orjson
import pytest

from services.gateway.errors import Refusal
from services.gateway.surfaces.openai_completions import OpenAICompletions
from services.gateway.surfaces.openai_embeddings import OpenAIEmbeddings
from services.gateway.surfaces.openai_responses import OpenAIResponses
from tests.unit.services.gateway.offering import offer

completions, embeddings, responses = OpenAICompletions(), OpenAIEmbeddings(), OpenAIResponses()


def raw(**fields) -> bytes:
    return orjson.dumps({"model": "swift-1"} | fields)


def sent(surface, body: bytes, cap: int = 4096, model: str = "swift-1", **offered) -> dict:
    [candidate] = offer(**offered).candidates
    candidate = replace(candidate, upstream_model=model)
    return orjson.loads(surface.prepare(surface.parse(body), candidate, cap))


def test_a_text_completion_without_a_cap_gets_the_sixteen_tokens_of_its_dialect():
    parsed = completions.parse(raw(prompt="a"))
    assert completions.bound(parsed, offer()).cap == 16
    assert sent(completions, raw(prompt="a"), 16)["max_tokens"] == 16


@pytest.mark.requirement("PRC-2")
def test_every_prompt_has_its_choices_and_each_may_be_written_to_the_cap():
    free = offer(input_pico=0, cached_input_pico=0)
    one = completions.bound(completions.parse(raw(prompt="a", max_tokens=9)), free)
    many = raw(prompt=["a", "b", "c"], n=2, best_of=4, max_tokens=9)
    assert completions.bound(completions.parse(many), free).amount == 12 * one.amount


@pytest.mark.requirement("PRC-2")
def test_what_a_tokenizer_may_lengthen_counts_at_its_longest():
    long = "\ufdfa" * 100
    assert embeddings.parse(raw(input=[long])).size >= 3300
    assert responses.parse(raw(input=long)).size >= 3300
    both = completions.parse(raw(prompt=[long, "a"], suffix=long, echo=True, n=2))
    assert both.size >= 3300 + 3 * 3300
    assert both.beside == 2 * both.size


@pytest.mark.requirement("PRC-2")
def test_a_suffix_is_read_again_with_every_prompt():
    plain = completions.parse(raw(prompt=["a"] * 10, suffix=""))
    long = completions.parse(raw(prompt=["a"] * 10, suffix="x" * 500))
    assert long.size - plain.size >= 10 * 500


@pytest.mark.requirement("PRC-2")
def test_a_repeated_prompt_counts_as_output_of_every_choice():
    free = offer(input_pico=0, cached_input_pico=0)
    body = raw(prompt="x" * 300, n=3, echo=True, max_tokens=1)
    parsed = completions.parse(body)
    assert parsed.beside >= 900
    bound = completions.bound(parsed, free)
    assert (bound.cap, bound.amount == bound.at_least) == (1, True)
    assert bound.amount == (parsed.beside + 3) * 2_000_000 * 11 // 10_000


@pytest.mark.requirement("PRC-2")
def test_a_cap_of_nothing_is_no_cap():
    """An upstream that takes 0 for "not given" would not be capped at all."""
    with pytest.raises(Refusal) as refused:
        completions.parse(raw(prompt="x", max_tokens=0))
    assert (refused.value.status, refused.value.param) == (400, "max_tokens")


@pytest.mark.requirement("PRC-2")
def test_the_largest_input_holds_for_each_input_and_not_for_all_together():
    sold = offer(max_input=100)
    many = ["word " * 20] * 50
    for surface, field in ((embeddings, "input"), (completions, "prompt")):
        parsed = surface.parse(raw(**{field: many}))
        assert surface.bound(parsed, sold).input_tokens == 100 * 50
        assert (
            surface.bound(surface.parse(raw(**{field: "word " * 1000})), sold).input_tokens == 100
        )


@pytest.mark.parametrize(
    "value",
    [None, 1, {}, [], [None], ["a", 1], [1, "a"], [[1], "a"], [[1], 2], [[[1]]], [-1], [True],
     [1.0], [{"text": "a"}]],
)  # fmt: skip
def test_inputs_are_texts_or_token_ids_and_nothing_else(value):
    for surface, field in ((embeddings, "input"), (completions, "prompt")):
        with pytest.raises(Refusal) as caught:
            surface.parse(raw(**{field: value}))
        assert (caught.value.status, caught.value.param) == (400, field)


def test_embeddings_are_bounded_by_their_input_alone_and_go_up_unchanged():
    body = raw(input=["a", "b"], dimensions=3, encoding_format="base64", user="u")
    bound = embeddings.bound(embeddings.parse(body), offer())
    assert bound.cap == 0
    assert bound.amount == bound.at_least == -(-(len(body) + 1024) * 250_000 * 11 // 10_000)
    assert embeddings.prepare(embeddings.parse(body), offer().candidates[0], 0) == body
    assert sent(embeddings, body, 0, model="vector-1")["model"] == "vector-1"


def test_a_response_without_a_cap_gets_the_reserved_one():
    assert sent(responses, raw(input="a"), 300)["max_output_tokens"] == 300
    assert sent(responses, raw(input="a", max_output_tokens=9), 9)["max_output_tokens"] == 9
    assert sent(responses, raw(input="a", max_output_tokens=10**6))["max_output_tokens"] == 4096
    assert "stream_options" not in sent(responses, raw(input="a", stream=True))


def test_tools_and_formats_of_a_response_may_add_hidden_text():
    assert responses.parse(raw(input="a", tools=[{"type": "function"}])).tools
    assert responses.parse(raw(input="a", text={"format": {"type": "json_schema"}})).tools
    assert not responses.parse(raw(input="a", text={"verbosity": "low"})).tools


TURN = [
    {"role": "user", "content": "Hello"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
     "phase": "final_answer",
     "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c",
     "output": [{"type": "input_text", "text": "a"}]},
    {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
    {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
]  # fmt: skip


def test_what_an_agent_sends_back_each_turn_passes():
    body = raw(
        input=TURN,
        instructions="Be brief.",
        tools=[
            {"type": "function", "name": "f", "parameters": {}},
            {"type": "custom", "name": "g"},
        ],
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "text"}, "verbosity": "low"},
        store=False,
        background=False,
        truncation="auto",
        parallel_tool_calls=True,
        service_tier="default",
        max_output_tokens=5,
        previous_response_id=None,
    )
    assert sent(responses, body, 5) == orjson.loads(body)


IMAGE = {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"}


@pytest.mark.requirement("PRC-7")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"include": ["web_search_call.results"]}, "include"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"service_tier": "ultrafast"}, "service_tier"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"prompt_cache_retention": "24h"}, "prompt_cache_retention"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"text": {"voice": "a"}}, "text.voice"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"modalities": ["audio"]}, "modalities"),
        *[({"tools": [{"type": kind}]}, "tools[0].type") for kind in (
            "web_search", "web_search_preview", "file_search", "code_interpreter", "mcp",
            "image_generation", "computer_use_preview", "local_shell", "namespace")],
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}]},
         "input[0].type"),
        ({"input": [{"role": "user", "content": [IMAGE]}]}, "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
         "input[0].content[0].file_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
         "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
         "input[0].content[0].type"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": [IMAGE]}]},
         "input[0].output[0].image_url"),
        ({"input": [{"role": "user", "content": "a", "audio": {"id": "a"}}]}, "input[0].audio"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a",
          "prompt_cache_breakpoint": {"ttl": "12h"}}]}]},
         "input[0].content[0].prompt_cache_breakpoint"),
    ],
)  # fmt: skip
def test_what_escapes_the_bound_of_a_response_is_refused_by_name(fields: dict, param: str):
    with pytest.raises(Refusal) as caught:
        responses.parse(raw(**({"input": "a"} | fields)))
    assert (caught.value.status, caught.value.code) == (400, "unsupported_parameter")
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"input": ""}, "input"), ({"input": []}, "input"), ({"input": None}, "input"),
     ({"input": ["a"]}, "input[0]"), ({"max_output_tokens": 0}, "max_output_tokens"),
     ({"instructions": ["a"]}, "instructions"), ({"reasoning": "high"}, "reasoning"),
     ({"stream": 1}, "stream"), ({"input": [{"type": "message", "content": "a"}]},
      "input[0].role"), ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
     # Without content it could pass at the provider for the name of something kept.
     ({"input": [{"role": "user", "id": "msg_1"}]}, "input[0].content"),
     ({"input": [{"type": "message", "role": "user", "id": "msg_1", "content": None}]},
      "input[0].content")],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_by_name(fields: dict, param: str):
    with pytest.raises(Refusal) as caught:
        responses.parse(raw(**({"input": "a"} | fields)))
    assert (caught.value.status, caught.value.param) == (400, param)
