"""Dated prices: what is to come is told and changes nothing, what changed keeps its past."""

from datetime import date

import pytest

from libs.catalogue import load
from libs.catalogue.price_book import parse_book
from tests.unit.farebox.prices.conftest import CONFIG, from_day, price

pytestmark = pytest.mark.requirement("PRC-7")


def book_of(desk):
    return parse_book(desk.book.read_text())


def input_on(desk, day: str) -> int:
    rows = book_of(desk).price("north", "dated", day)
    (rate,) = (row.pico_per_unit for row in rows if row.unit == "input")
    return rate


@pytest.fixture
def dated(desk):
    desk.config.write_text(
        CONFIG.replace("north/swift-1", "north/dated").replace(
            'price_book = "north"', 'price_book = "north"\nprices.dated = { max_input = 9000 }'
        )
    )
    desk.json("import", "--as-of", "2026-11-29", "--yes")
    return desk


def test_a_price_that_is_to_come_does_not_change_the_running_one(dated):
    before = load(dated.config)
    assert before.upstreams["north"].prices["dated"].rates.input == 1_500_000
    assert input_on(dated, "2027-01-01") == 3_000_000
    # The day comes: the file says itself which day it is read for, so nothing happens.
    assert load(dated.config).hash == before.hash
    moved = dated.json("import", "--as-of", "2027-01-01", "--accept", "--yes")
    assert {(change["unit"], change["old"], change["new"]) for change in moved["changes"]} == {
        ("input", 1_500_000, 3_000_000),
        ("output", 2_000_000, 4_000_000),
    }
    after = load(dated.config)
    assert after.upstreams["north"].prices["dated"].rates.input == 3_000_000
    assert after.hash != before.hash


def test_an_announced_price_that_was_called_off_is_forgotten(dated, source):
    source[0].models[1].prices = source[0].models[1].prices[:2]
    dated.json("import", "--as-of", "2026-12-01", "--yes")
    assert book_of(dated).days("north", "dated") == ["", "2026-06-01"]


def test_a_change_without_a_day_holds_from_the_day_it_was_seen(dated, source):
    source[0].models[1].prices = price(input_mtok="7", output_mtok="2")
    changed = dated.json("import", "--as-of", "2026-12-01", "--accept", "--yes")
    assert [change["new"] for change in changed["changes"]] == [7_000_000]
    assert book_of(dated).days("north", "dated") == ["", "2026-06-01", "2026-12-01"]
    assert [input_on(dated, day) for day in ("2026-05-31", "2026-06-01", "2026-12-01")] == [
        1_000_000,
        1_500_000,
        7_000_000,
    ]


def test_a_change_that_the_source_dates_later_keeps_its_day(dated, source):
    source[0].models[1].prices[2:] = [from_day(date(2026, 11, 15), input_mtok="8", output_mtok="2")]
    dated.json("import", "--as-of", "2026-12-01", "--accept", "--yes")
    assert input_on(dated, "2026-11-14") == 1_500_000
    assert input_on(dated, "2026-11-15") == 8_000_000


def test_history_tells_every_day_and_which_one_is_in_use(dated):
    told = dated.json("history", "dated")["history"]
    assert [(one["effective_from"], one["standing"]) for one in told] == [
        (None, "past"),
        ("2026-06-01", "in_use"),
        ("2027-01-01", "to_come"),
    ]
    assert told[1]["rates"][0] == {
        "unit": "input", "tier_start": 0, "pico_per_unit": 1_500_000, "per_million": "1.5",
    }  # fmt: skip
    lines = dated.run("history", "north/dated").stdout
    assert "north/dated from 2027-01-01  (to come: not in use)" in lines
    unknown = dated.run("history", "other")
    assert (unknown.exit_code, "north/dated" in unknown.stderr) == (2, True)


class TestDiff:
    def test_ends_with_0_when_book_and_sources_agree(self, desk):
        desk.json("import", "--yes")
        assert desk.json("diff")["changes"] == []

    def test_tells_what_the_source_says_now(self, desk, source):
        desk.json("import", "--yes")
        source[0].models[0].prices.output_mtok = price(output_mtok="2.5").output_mtok
        before = desk.book.read_bytes()
        told = desk.json("diff", status=1)
        assert {"output", "output"} == {change["unit"] for change in told["changes"]}
        assert desk.book.read_bytes() == before
        assert "output: 2 -> 2.5" in desk.run("diff").stdout

    def test_tells_what_the_second_source_doubts(self, desk):
        desk.json("import", "--yes")
        desk.second({"swift-1": {"litellm_provider": "north", "output_cost_per_token": 2.1e-06}})
        assert desk.json("diff", status=1)["doubtful"]

    def test_without_a_book_ends_with_2(self, desk):
        result = desk.run("diff")
        assert (result.exit_code, "farebox prices import" in result.stderr) == (2, True)


def test_a_damaged_book_names_all_its_faults(desk):
    desk.json("import", "--yes")
    text = desk.book.read_text().replace('"unit": "input"', '"unit": "inputs"', 1)
    desk.book.write_text(text.replace('"as_of": "', '"as_of": "x', 1))
    result = desk.run("diff")
    assert result.exit_code == 2
    assert "as_of" in result.stderr
    assert '"inputs" is no unit' in result.stderr


@pytest.mark.parametrize("arguments", [("--as-of", "soon"), ("--config", "/nowhere/farebox.toml")])
def test_a_wrong_argument_ends_with_2(desk, arguments):
    result = desk.run("import", *arguments[:2]) if arguments[0] == "--as-of" else desk.run("diff")
    assert result.exit_code == 2
