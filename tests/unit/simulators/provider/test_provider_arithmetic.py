"""The provider's counts are a function of the text a test can do itself."""

import pytest

from simulators.provider.answer import DEFAULT_WORDS, compose, prompt_tokens
from simulators.provider.script import Script, script_of


@pytest.mark.parametrize(
    ("content", "tokens"),
    [("", 7), ("abc", 8), ("abcd", 8), ("abcde", 9), ("é" * 4, 9), ([{"text": "abcde"}], 9)],
)
def test_prompt_tokens_count_every_fourth_byte(content, tokens):
    assert prompt_tokens([{"role": "user", "content": content}]) == tokens


def test_prompt_tokens_stay_below_the_bytes_of_the_request():
    messages = [{"role": "user", "content": "x" * size} for size in range(40)]
    assert prompt_tokens(messages) < len(str(messages).encode())


@pytest.mark.parametrize(
    ("request_", "script", "count", "finish"),
    [
        ({}, Script(), DEFAULT_WORDS, "stop"),
        ({}, Script(words=7), 7, "stop"),
        ({"max_tokens": 5}, Script(words=7), 5, "length"),
        ({"max_completion_tokens": 5, "max_tokens": 6}, Script(words=7), 5, "length"),
        ({"max_tokens": 7}, Script(words=7), 7, "stop"),
        ({"max_tokens": 5}, Script(words=7, ignore_cap=True), 7, "stop"),
    ],
)
def test_completion_tokens_are_the_words_sent_within_the_cap(request_, script, count, finish):
    answer = compose(1, request_, script)
    body = answer.body("normal")
    assert len(body["choices"][0]["message"]["content"].split()) == count
    assert body["usage"]["completion_tokens"] == count
    assert body["choices"][0]["finish_reason"] == finish


def test_cached_tokens_never_exceed_the_prompt():
    usage = compose(1, {"messages": []}, Script(cached_tokens=999)).usage
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] == 3


def test_huge_words_have_the_asked_size():
    words = compose(1, {}, Script(words=3, word_bytes=1000)).words
    assert [len(word) for word in words] == [1000] * 3


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("hello", Script()),
        ("Tell it in 500 words, please", Script(words=500)),
        ("[[sim words=4 reset]]", Script(words=4, reset=True)),
        (
            "[[sim usage=none split_bytes=3 crlf=true]]",
            Script(usage="none", split_bytes=3, crlf=True),
        ),
    ],
)
def test_text_carries_a_script(text, script):
    assert script_of({}, text.encode()) == script


def test_a_script_that_is_not_understood_is_refused():
    with pytest.raises(ValueError, match="wrods"):
        script_of({}, b"[[sim wrods=4]]")
