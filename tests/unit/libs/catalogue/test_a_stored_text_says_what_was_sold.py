"""The text that a hash is of can be read again, and compared with today's file."""

import json
from dataclasses import asdict

import pytest

from libs.catalogue import parse, price_lines
from libs.catalogue.compare import compare
from libs.catalogue.stored import stored
from tests.support.catalogue import EXAMPLE, LIMITS, NO_LIMITS

pytestmark = pytest.mark.requirement("CRD-6", "PRC-7")

RICH = EXAMPLE.replace(
    'currency = "USD"', 'currency = "USD"\nconversion = { CREDIT = [1000, 3] }', 1
).replace(
    'output = "2.40", ',
    'output = "2.40", cache_write = "0.4", image = "0.01", image_tokens_max = 1600, '
    'tiers = [{ above = 9, input = "1", output = "3", cache_write = "2" }], ',
)
RICH = RICH.replace('["north/swift-1"]', '["south/swift-1-b"]')
RICH = RICH.replace('sells = ["score-image"]', 'sells = ["score-image", "swift-1", "own-1"]')
RICH = RICH.replace(
    "[packs] ",
    '[models.own-1]\nrule = "retail"\nroutes = ["north/swift-1"]\n'
    'retail.CREDIT = { input = "9", output = "8" }\n[packs] ',
)


def changed(old: str, new: str) -> list[tuple[str, str, str, str | None, str | None]]:
    assert EXAMPLE.count(old) >= 1
    differences = compare(parse(EXAMPLE), parse(EXAMPLE.replace(old, new, 1)))
    return [tuple(asdict(change).values()) for change in differences]


@pytest.mark.parametrize("text", [EXAMPLE, RICH])
def test_a_text_reads_back_as_what_customers_were_told(text):
    book = parse(text)
    again = stored(book.text)
    assert (again.hash, again.text) == (book.hash, book.text)
    for name, plan in book.plans.items():
        assert price_lines(again, again.plans[name]) == price_lines(book, plan)
    assert again.packs == book.packs
    assert compare(again, book) == []


def test_a_text_of_an_older_version_lacks_what_it_did_not_know():
    values = json.loads(parse(EXAMPLE).text)
    del values["catalogue"]["conversion"]
    values["operations"]["score-image"].pop("unsettled")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    again = stored(text)
    assert again.operations["score-image"].unsettled == "release"
    assert again.hash != parse(EXAMPLE).hash


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"upstreams": {"x": 1}}', "null"])
def test_what_is_no_catalogue_is_refused(text):
    with pytest.raises(ValueError, match="no catalogue"):
        stored(text)


class TestCompare:
    def test_a_price_is_told_in_the_customers_unit(self):
        assert changed('output = "2.00"', 'output = "3.00"') == [
            ("plan payg", "swift-1", "image_output", "2.20", "3.30"),
            ("plan payg", "swift-1", "output", "2.20", "3.30"),
        ]

    def test_a_margin_changes_every_price_of_its_plan(self):
        told = changed("margin_bps = 1000", "margin_bps = 2000")
        assert ("plan payg", "", "margin_bps", "1000", "2000") in told
        assert ("plan payg", "swift-1", "input", "0.275", "0.30") in told

    def test_a_tier_that_comes_is_told(self):
        told = changed(
            'output = "2.00", ',
            'output = "2.00", tiers = [{ above = 5, input = "1", output = "2" }], ',
        )
        assert ("plan payg", "swift-1", "input above 5", None, "1.10") in told

    def test_what_is_not_sold_any_more_is_told(self):
        told = changed('sells = ["score-image"]', "sells = []")
        assert ("plan studio", "score-image", "price", "1", None) in told

    def test_a_pack_is_told(self):
        assert changed('price = { USD = "10.00" }', 'price = { USD = "11.00", EUR = "9.00" }') == [
            ("pack usd-10", "", "price EUR", None, "9.00"),
            ("pack usd-10", "", "price USD", "10.00", "11.00"),
        ]

    def test_limits_are_told_in_words(self):
        (told,) = changed(NO_LIMITS, LIMITS)
        assert told[2:] == ("limits", "1000000 in 1 s, 100000 at once", "600 in 60 s, 32 at once")

    def test_without_one_before_everything_is_new(self):
        first = compare(None, parse(EXAMPLE))
        assert first
        assert all(change.old is None for change in first)
