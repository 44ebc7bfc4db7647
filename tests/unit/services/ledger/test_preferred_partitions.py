import pytest
from pydantic import ValidationError

from services.ledger.settings import LedgerSettings


@pytest.mark.parametrize(
    ("text", "preferred"), [("", set()), ("0", {0}), ("0,2", {0, 2}), (" 1, 3 ", {1, 3})]
)
def test_partitions_are_named_by_number(text, preferred):
    assert LedgerSettings(ledger_leads=text).preferred == preferred


@pytest.mark.parametrize("text", ["a", "0;2", "0,,2", "-1", "1.5", ",", "½", "²"])
def test_anything_else_is_refused_with_the_text_that_was_given(text):
    with pytest.raises(ValidationError) as refused:
        LedgerSettings(ledger_leads=text)
    assert f"not '{text}'" in str(refused.value)
