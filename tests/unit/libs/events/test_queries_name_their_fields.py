import pytest
from pydantic import ValidationError

from libs.events.queries import QUERIES, Answer, EntriesQuestion, EventsQuestion, Refusal
from libs.events.subjects import QUERY_NAMES
from tests.contract import examples


def test_every_answered_query_has_a_subject():
    assert set(QUERIES) <= set(QUERY_NAMES)


def test_a_page_holds_at_most_500_lines():
    assert EntriesQuestion(account_id=examples.ACCOUNT).limit == 500
    with pytest.raises(ValidationError):
        EntriesQuestion(account_id=examples.ACCOUNT, limit=501)
    with pytest.raises(ValidationError):
        EventsQuestion.model_validate({"from": 1, "limit": 0})


@pytest.mark.parametrize("after", ["", "5", "5:", ":5", "5:1:1", "a:b", "5:1\n"])
def test_a_cursor_is_a_position_and_a_line(after):
    assert EntriesQuestion(account_id=examples.ACCOUNT, after="12:3").after == "12:3"
    with pytest.raises(ValidationError):
        EntriesQuestion(account_id=examples.ACCOUNT, after=after)


def test_an_answer_says_how_far_the_log_had_come():
    assert Answer(ok=True, position=7, as_of_position=None, data={}).position == 7
    assert Refusal(ok=False, code="unknown_account", message="no such account").ok is False
    with pytest.raises(ValidationError):
        Refusal.model_validate({"ok": True, "code": "x", "message": ""})
