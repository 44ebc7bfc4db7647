"""The Anthropic shape of the provider: its counts add up, its events are Anthropic's."""

import pytest

from simulators.provider.message import compose_message, counted
from simulators.provider.script import Script

ASK = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}


def test_the_kinds_of_input_add_up_to_the_prompt():
    script = Script(
        prompt_tokens=100, cached_tokens=10, cache_write_tokens=20, cache_write_1h_tokens=30
    )
    usage = compose_message(1, ASK, script).usage
    assert usage["input_tokens"] == 40
    assert usage["cache_read_input_tokens"] == 10
    assert usage["cache_creation_input_tokens"] == 50
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30,
    }  # fmt: skip


def test_system_text_and_tools_are_counted():
    plain = counted(ASK, Script())
    assert counted(ASK | {"system": "abcd"}, Script()) == plain + 5
    assert counted(ASK | {"tools": [{"name": "f"}]}, Script()) == plain + 4


@pytest.mark.parametrize(
    ("style", "reports"),
    [
        ("normal", [1, 24]),
        ("running", [1, 12, 24]),
        ("duplicate", [1, 24, 24]),
        ("brief", [1, 24]),
        ("none", [None, None]),
        ("null", [None, None]),
        ("zero", [0, 0]),
    ],
)
def test_usage_is_reported_in_every_style_and_cumulative(style: str, reports: list):
    chunks = list(compose_message(1, ASK, Script()).chunks(style))
    usages = [
        (data["message"] if name == "message_start" else data).get("usage")
        for name, data in chunks
        if name in {"message_start", "message_delta"}
    ]
    assert [usage and usage["output_tokens"] for usage in usages] == reports


def test_a_stream_has_anthropics_events():
    asked = ASK | {"tools": [{"name": "weather"}]}
    chunks = list(compose_message(1, asked, Script(words=1, tool=True)).chunks("normal"))
    assert [name for name, _ in chunks] == [
        "message_start",
        "content_block_start", "ping", "content_block_delta", "content_block_stop",
        "content_block_start", *["content_block_delta"] * 3, "content_block_stop",
        "message_delta",
    ]  # fmt: skip
    assert all(data["type"] == name for name, data in chunks)
    assert chunks[-1][1]["delta"]["stop_reason"] == "tool_use"
