"""`farebox prices import`: exact names, exact integers, what cannot be bounded refused."""

import json
from decimal import Decimal

import pytest

from farebox.prices.source import NotPricedError, Source, SourceMissingError, pico_per_token
from libs.catalogue import load
from libs.catalogue.price_book import parse_book

pytestmark = pytest.mark.requirement("PRC-7")


def test_what_farebox_toml_needs_is_imported_and_makes_it_complete(desk):
    done = desk.json("import", "--as-of", "2026-11-29", "--yes")
    assert (done["written"], done["refused"], done["doubtful"]) == (True, [], [])
    price = load(desk.config).upstreams["north"].prices["swift-1"]
    assert (price.rates.input, price.rates.cached_input, price.rates.output) == (
        250_000,
        # A cached image is dearer than cached text, and both are reported as cached.
        30_000,
        2_000_000,
    )
    # The larger of the two limits of input bounds, whichever of them is wrong.
    assert (price.max_input, price.max_output) == (400_000, 32_000)
    above = price.rates_at(1001)
    assert (above.input, above.cached_input, above.output) == (500_000, 30_000, 3_000_000)


def test_rows_say_where_each_rate_came_from_and_since_when(desk):
    desk.json("import", "north/dated", "--as-of", "2026-11-29", "--yes")
    rows = json.loads(desk.book.read_text())["rows"]
    assert rows[0] == {
        "provider": "north", "model": "dated", "effective_from": "", "tier_start": 0,
        "unit": "input", "pico_per_unit": 1_000_000, "source": "genai-prices",
        "source_version": "0.0.1",
    }  # fmt: skip
    assert {row["effective_from"] for row in rows} == {"", "2026-06-01", "2027-01-01"}


def test_what_makes_a_request_dearer_and_is_not_sold_is_told(desk):
    (about,) = desk.json("import", "--as-of", "2026-11-29")["notes"]
    assert about["notes"] == [
        "web searches not sold",
        "service_tier=priority not sold",
        "inference in us costs x 1.1: raise the price if yours is there",
        "processing in eu costs x 1.2: raise the price if yours is there",
        "a cache of 12 hours not sold",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("family-7", 'only a pattern of "family" matches'),
        ("family", "does not know it"),
        ("Swift-1", "a pattern"),
        ("ft:swift-1:acme", "fine-tuned"),
        ("swift-2", "does not know it"),
        ("off-peak", "time of the day"),
        ("pages", "input_document_kpages"),
        ("fine", "finer than a pico"),
        ("free", "no price for input"),
        ("twin", "for 2 models"),
        ("swift-latest", "until the provider moves the name"),
    ],
)
def test_a_price_that_is_not_certain_is_refused(desk, name, why):
    done = desk.json("import", f"north/{name}", "north/swift-1", "--yes", status=1)
    ((refused,)) = done["refused"]
    assert refused["model"] == f"north/{name}"
    assert why in refused["why"]
    # What is certain is written all the same.
    assert parse_book(desk.book.read_text()).models() == [("north", "swift-1")]


def test_a_provider_is_imported_whole_but_for_what_is_refused(desk):
    done = desk.json("import", "north", "--as-of", "2026-11-29", "--yes", status=1)
    models = {name for _, name in parse_book(desk.book.read_text()).models()}
    assert models == {"swift-1", "swift-1-2026", "dated", "embed", "twin-2"}
    assert {one["model"] for one in done["refused"]} == {
        f"north/{name}" for name in ("off-peak", "pages", "fine", "free", "twin", "swift-latest")
    }


def test_a_model_without_a_price_of_output_gives_none(desk):
    desk.json("import", "north/embed", "--yes")
    table = parse_book(desk.book.read_text()).table("north", "embed")
    assert table == {"input": "0.02", "max_input": 8192, "max_output": 0}


def test_an_unknown_provider_ends_with_2(desk):
    result = desk.run("import", "nort")
    assert (result.exit_code, "known: north" in result.stderr) == (2, True)


def test_nothing_is_written_without_a_yes(desk):
    result = desk.run("import", answer="n\n")
    assert not desk.book.exists()
    assert "north/swift-1  input: none -> 0.25" in result.stdout
    assert result.exit_code == 0
    desk.json("import")
    assert not desk.book.exists()
    desk.run("import", answer="y\n")
    assert desk.book.exists()


def test_a_second_import_changes_nothing(desk):
    desk.json("import", "--as-of", "2026-11-29", "--yes")
    before = desk.book.read_bytes()
    again = desk.json("import", "--as-of", "2026-11-29", "--yes")
    assert (again["changes"], again["written"]) == ([], False)
    assert desk.book.read_bytes() == before


class TestDisagreement:
    def test_a_model_that_the_sources_disagree_on_is_left_as_it_is(self, desk):
        desk.second({"swift-1": {"litellm_provider": "north", "output_cost_per_token": 2.1e-06}})
        done = desk.json("import", "--yes", status=1)
        (doubt,) = done["doubtful"]
        assert (doubt["unit"], doubt["pico"], doubt["second_pico"]) == (
            "output",
            2_000_000,
            2_100_000,
        )
        assert parse_book(desk.book.read_text()).models() == []

    def test_an_operator_may_decide_for_the_first(self, desk):
        desk.second({"swift-1": {"litellm_provider": "north", "output_cost_per_token": 2.1e-06}})
        assert desk.json("import", "--accept", "--yes")["written"]
        assert parse_book(desk.book.read_text()).models() == [("north", "swift-1")]

    def test_a_tier_that_only_one_knows_is_a_doubt(self, desk):
        entry = {"litellm_provider": "north", "input_cost_per_token_above_5k_tokens": 3e-06}
        desk.second({"swift-1": entry})
        (doubt,) = desk.json("import", status=1)["doubtful"]
        assert (doubt["tier_start"], doubt["second_pico"]) == (5000, 3_000_000)

    def test_another_provider_of_the_same_name_says_nothing(self, desk):
        assert desk.json("import", "north/embed")["doubtful"] == []

    def test_a_float_that_was_multiplied_is_rounded_to_the_pico_it_means(self, desk):
        entry = {"litellm_provider": "north", "input_cost_per_token": 2.4999999999999996e-07}
        desk.second({"swift-1": entry})
        assert desk.json("import")["doubtful"] == []

    def test_a_file_that_is_not_there_ends_with_2(self, desk):
        (desk.folder / "second.json").unlink()
        result = desk.run("import")
        assert (result.exit_code, "second source" in result.stderr) == (2, True)


def test_the_missing_wheel_is_named_with_the_fix(desk, monkeypatch):
    def missing() -> Source:
        raise SourceMissingError("genai-prices is not installed; install it with pip install")

    monkeypatch.setattr(Source, "installed", missing)
    result = desk.run("import")
    assert (result.exit_code, "pip install" in result.stderr) == (2, True)


def test_six_decimals_a_million_are_exact():
    assert pico_per_token(Decimal("0.000001")) == 1
    with pytest.raises(NotPricedError):
        pico_per_token(Decimal(-1))


class TestThePinnedWheel:
    """The real one: every name in it is either priced exactly or refused with a reason."""

    @pytest.fixture(scope="class")
    @staticmethod
    def wheel() -> Source:
        return Source.installed()

    def test_every_name_is_priced_or_refused(self, wheel):
        priced, refused = 0, []
        for provider in ("openai", "anthropic", "google", "mistral", "x-ai", "deepseek"):
            for name in wheel.names(provider):
                try:
                    found = wheel.priced(provider, name)
                except NotPricedError as error:
                    refused.append(str(error))
                    continue
                assert all(pico >= 0 for rates in found.days.values() for pico in rates.values())
                priced += 1
        assert priced > len(refused) > 0
        assert all(refused)

    def test_a_known_price_with_a_tier(self, wheel):
        (rates,) = wheel.priced("openai", "gpt-5.4").days.values()
        assert rates[0, "input"] == 2_500_000
        assert rates[272_000, "input"] == 5_000_000

    def test_the_traps_of_its_names(self, wheel):
        for name in ("ft:gpt-4o", "claude-opus-5-latest", "gpt-5.4-latest"):
            with pytest.raises(NotPricedError):
                wheel.priced("openai" if "gpt" in name else "anthropic", name)

    @pytest.mark.requirement("PRC-7")
    @pytest.mark.parametrize(
        ("provider", "name"),
        [("openai", "gpt-4o-search-preview"), ("openai", "gpt-5-search-api"),
         ("openai", "o3-deep-research"), ("perplexity", "perplexity/sonar")],
    )  # fmt: skip
    def test_what_searches_by_itself_is_not_priced_by_its_tokens(self, wheel, provider, name):
        with pytest.raises(NotPricedError, match="searches by itself"):
            wheel.priced(provider, name)

    def test_an_image_model_has_its_own_rate_of_output(self, wheel):
        (rates,) = wheel.priced("openai", "gpt-image-1.5").days.values()
        assert (rates[0, "output"], rates[0, "image_output"]) == (10_000_000, 32_000_000)
