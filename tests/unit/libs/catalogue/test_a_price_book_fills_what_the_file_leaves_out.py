"""farebox.toml takes prices from a book; what it says itself wins, and the hash covers both."""

from dataclasses import replace

import pytest

from libs.catalogue import CatalogueError, load, parse
from libs.catalogue.price_book import Limits, PriceBook, Row, parse_book
from tests.support.catalogue import EXAMPLE

pytestmark = pytest.mark.requirement("PRC-7")

BY_HAND = 'prices."swift-1" = { input = "0.25", cached_input = "0.025", output = "2.00", max_input = 400_000, max_output = 32_000 }'
assert BY_HAND in EXAMPLE
BY_BOOK = EXAMPLE.replace(BY_HAND, 'price_book = "north-ai"')


def row(unit: str, pico: int, *, tier: int = 0, day: str = "") -> Row:
    return Row("north-ai", "swift-1", day, tier, unit, pico, "genai-prices", "1")


ROWS = (row("input", 250_000), row("cached_input", 25_000), row("output", 2_000_000))
LIMITS = (Limits("north-ai", "swift-1", 400_000, 32_000, "litellm", "1"),)
BOOK = PriceBook("2026-11-29", "USD", ROWS, LIMITS)


def errors_of(text: str, book: PriceBook | None) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        parse(text, book)
    return caught.value.errors


def test_a_price_from_the_book_is_the_same_price_by_the_same_hash():
    assert parse(BY_BOOK, BOOK).hash == parse(EXAMPLE).hash


def test_what_the_file_says_wins_key_by_key():
    text = BY_BOOK.replace(
        'price_book = "north-ai"',
        'price_book = "north-ai"\nprices."swift-1" = { output = "9", max_input = 7 }',
    )
    price = parse(text, BOOK).upstreams["north"].prices["swift-1"]
    assert (price.rates.input, price.rates.output) == (250_000, 9_000_000)
    assert (price.max_input, price.max_output) == (7, 32_000)


def test_a_tier_keeps_what_it_does_not_change():
    book = replace(BOOK, rows=(*ROWS, row("input", 500_000, tier=1000)))
    price = parse(BY_BOOK, book).upstreams["north"].prices["swift-1"]
    above = price.rates_at(1001)
    assert (above.input, above.cached_input, above.output) == (500_000, 25_000, 2_000_000)


def test_the_rows_of_one_day_are_the_whole_price_of_it():
    later = replace(BOOK, rows=(*ROWS, row("input", 1, day="2026-11-29")))
    assert [one.unit for one in later.price("north-ai", "swift-1")] == ["input"]
    # Of a day that is to come nothing is read.
    assert parse(BY_BOOK, replace(later, as_of="2026-11-28")).hash == parse(EXAMPLE).hash


def test_a_model_that_is_not_in_the_book_is_refused():
    (line,) = errors_of(BY_BOOK, PriceBook("2026-11-29", "USD", (), ()))
    assert line.startswith("models.swift-1.routes[0]: ")
    assert "farebox prices import north-ai/swift-1" in line


def test_a_limit_that_no_source_tells_is_asked_for():
    (line,) = errors_of(BY_BOOK, replace(BOOK, limits=(replace(LIMITS[0], max_output=None),)))
    assert line.startswith("upstreams.north.prices.swift-1.max_output: is missing")


def test_another_currency_is_refused():
    (line,) = errors_of(BY_BOOK, replace(BOOK, currency="EUR"))
    assert line.startswith("catalogue.currency: ")


def test_the_text_of_a_book_reads_back_as_the_same_book():
    assert parse_book(BOOK.text()) == replace(BOOK, rows=tuple(sorted(ROWS)))
    assert BOOK.text().count("\n  {") == 4


def test_the_book_lies_beside_the_file(tmp_path):
    config = tmp_path / "farebox.toml"
    config.write_text(BY_BOOK, encoding="utf-8")
    with pytest.raises(CatalogueError, match="make it with farebox prices import"):
        load(config)
    (tmp_path / "prices.json").write_text(BOOK.text(), encoding="utf-8")
    assert load(config).hash == parse(EXAMPLE).hash
    config.write_text(BY_BOOK.replace("[catalogue]", '[catalogue]\nprice_book = "b.json"', 1))
    (tmp_path / "b.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CatalogueError, match="b.json: is not a price book of format 1"):
        load(config)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{", "[", "not JSON"),
        ('"format": 1', '"format": 2', "format 1"),
        ('"as_of": "2026-11-29"', '"as_of": "2026-13-29"', "not a day"),
        ('"currency": "USD"', '"currency": 7', "not a currency"),
        ('"pico_per_unit": 250000', '"pico_per_unit": 0.25', "wrong kind"),
        ('"pico_per_unit": 250000', '"pico_per_unit": -1', "wrong kind"),
        ('"unit": "cached_input"', '"unit": "input"', "twice"),
        ('"unit": "input"', '"unit": "sound"', "is no unit"),
        ('"effective_from": ""', '"effective_from": "today"', "not a day"),
        (', "source_version": "1"}', "}", "must have exactly"),
    ],
)
def test_a_fault_of_the_book_is_named(old, new, said):
    with pytest.raises(CatalogueError, match=said):
        parse_book(BOOK.text().replace(old, new, 1))
