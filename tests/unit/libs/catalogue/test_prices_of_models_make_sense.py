"""Prices that contradict themselves or leave something unpriced are refused, each by its path."""

import tomllib

import pytest

from libs.catalogue import CatalogueError, parse
from libs.catalogue.checks import check
from libs.catalogue.errors import Problems
from libs.catalogue.grammar import FILE
from libs.catalogue.tables import walk
from tests.support.catalogue import EXAMPLE

SOUTH = 'prices."swift-1-b" = { input = "0.30", output = "2.40", '
PRICE = "upstreams.south.prices.swift-1-b"
UNPRICED = EXAMPLE.replace('input = "0.25", cached_input = "0.025", output = "2.00", ', "")
COST_PLUS = 'rule = "cost_plus"'


def errors_of(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        parse(text)
    return caught.value.errors


def south(more: str) -> str:
    assert EXAMPLE.count(SOUTH) == 1
    return EXAMPLE.replace(SOUTH, SOUTH + more + ", ")


def own(retail: str) -> str:
    return EXAMPLE.replace(COST_PLUS, f'rule = "retail"\nretail = {retail}')


def tier(above: int, **rates: str) -> str:
    named = "".join(f', {kind} = "{rate}"' for kind, rate in rates.items())
    return f"{{ above = {above}{named} }}"


TIER = tier(1000, input="0.60", output="4.80")


@pytest.mark.parametrize(
    ("more", "path", "part"),
    [
        ('cached_input = "0.31"', "cached_input", "dearer than input"),
        ('cache_write = "0.4", cache_write_1h = "0.3"', "cache_write_1h", "cheaper than"),
        ('image = "0.0000000000001"', "image", "at most 12 decimals"),
        ('image = "1000001"', "image", "out of bounds"),
        ('image_tokens_rule = "area"', "image_tokens_max", "is missing"),
        ('image_tokens_max = 9, image_tokens_rule = "guess"', "image_tokens_rule", "not known"),
        (f"tiers = [{tier(0, input='1', output='3')}]", "tiers[0].above", "out of bounds"),
        (f"tiers = [{tier(9, input='0.29', output='3')}]", "tiers[0].input", "is cheaper"),
        (f"tiers = [{tier(9, input='0.30', output='2')}]", "tiers[0].output", "is cheaper"),
        (f"tiers = [{tier(9, output='3')}]", "tiers[0].input", "is missing"),
        (f"tiers = [{tier(9, input='1')}]", "tiers[0].output", "is missing"),
        (f"tiers = [{TIER}, {tier(999, input='1', output='5')}]", "tiers[1].above", "ascending"),
        (f"tiers = [{TIER}, {tier(2000, input='0.5', output='5')}]", "tiers[1].input", "cheaper"),
        (f"tiers = [{TIER}, {TIER}]", "tiers[1]", "listed twice"),
        ("tiers = { above = 1 }", "tiers", "write a list"),
        (
            f'cache_write = "0.70", tiers = [{TIER}]',
            "tiers[0].cache_write",
            "name cache_write, at least",
        ),
    ],
)
def test_a_fault_of_an_upstreams_price_is_named(more, path, part):
    lines = errors_of(south(more))
    assert any(line.startswith(f"{PRICE}.{path}: ") and part in line for line in lines), lines


def test_a_tier_that_is_dearer_is_taken():
    price = parse(south(f'cached_input = "0.03", tiers = [{TIER}]')).upstreams["south"].prices
    assert price["swift-1-b"].rates_at(1000).input == 300_000
    above = price["swift-1-b"].rates_at(1001)
    assert (above.input, above.cached_input, above.output) == (600_000, 600_000, 4_800_000)


def test_what_is_not_named_costs_what_plain_tokens_do():
    rates = parse(south('cache_write = "0.40"')).upstreams["south"].prices["swift-1-b"].rates
    assert (rates.cached_input, rates.image_input, rates.image_output) == (
        300_000,
        300_000,
        2_400_000,
    )
    assert (rates.cache_write, rates.cache_write_1h, rates.image) == (400_000, 400_000, 0)


def test_an_hour_of_a_cache_has_its_own_price_where_a_client_may_ask_for_it():
    values = walk(FILE, tomllib.loads(south('cache_write = "0.40"')), "", Problems())
    values["upstreams"]["south"]["shape"] = "anthropic"
    problems = Problems()
    check(values, problems)
    assert [line for line in problems.errors if line.startswith(f"{PRICE}.cache_write_1h: ")]


def test_an_embedding_has_no_output_and_needs_no_price_of_one():
    text = EXAMPLE.replace(SOUTH, 'prices."swift-1-b" = { input = "0.02", ')
    (line,) = errors_of(text)
    assert line.startswith(f"{PRICE}.output: is missing")
    text = text.replace(
        'input = "0.02", max_input = 200_000, max_output = 32_000',
        'input = "0.02", max_input = 8192, max_output = 0',
    )
    text = text.replace('"north/swift-1"', '"south/swift-1-b"')
    assert parse(text).upstreams["south"].prices["swift-1-b"].rates.output == 0


def test_an_image_may_be_sold_by_the_piece_alone():
    text = EXAMPLE.replace(
        SOUTH, 'prices."swift-1-b" = { input = "0", output = "0", image = "0.04", '
    )
    assert parse(text).upstreams["south"].prices["swift-1-b"].rates.image == 40_000_000_000
    (line,) = errors_of(text.replace('image = "0.04", ', ""))
    assert "both free" in line


@pytest.mark.requirement("PRC-7")
def test_an_unknown_price_is_refused_unless_the_model_has_its_own():
    (line,) = errors_of(UNPRICED)
    assert line.startswith("models.swift-1.routes[0]: north/swift-1 has no price")
    text = UNPRICED.replace(
        COST_PLUS, 'rule = "retail"\nretail = { USD = { input = "1", output = "2" } }'
    )
    assert not parse(text).upstreams["north"].prices["swift-1"].known


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        (EXAMPLE.replace(COST_PLUS, 'rule = "retail"'), "retail", "is missing"),
        (own("{}"), "retail", "is missing"),
        (own('{ USD = { input = "1" } }'), "retail.USD.output", "is missing"),
        (own('{ USD = { input = "0", output = "0" } }'), "retail.USD", "both free"),
        (own('{ USD = { input = "1", image = "2" } }'), "retail.USD.output", "north/swift-1 gives"),
        (
            own('{ USD = { input = "1", output = "1" } }').replace(
                'output = "2.00"', 'output = "2.00", image = "0.04"', 1
            ),
            "retail.USD.image",
            "north/swift-1 charges for each image",
        ),
        (own('{ usd = { input = "1", output = "1" } }'), "retail.usd", "use a unit"),
        (own('{ USD = { input = "1", output = "1", max_input = 1 } }'), "retail.USD.max_input", ""),
        (
            EXAMPLE.replace(COST_PLUS, 'retail = { USD = { input = "1", output = "2" } }'),
            "retail",
            'set rule = "retail"',
        ),
    ],
)
def test_a_fault_of_own_prices_is_named(text, path, part):
    lines = errors_of(text)
    assert any(line.startswith(f"models.swift-1.{path}: ") and part in line for line in lines), (
        lines
    )


@pytest.mark.parametrize(
    ("conversion", "path", "part"),
    [
        ("{ USD = [1, 1] }", "conversion.USD", "the currency itself"),
        ("{ EUR = [23] }", "conversion.EUR", "two whole numbers"),
        ('{ EUR = "0.92" }', "conversion.EUR", "two whole numbers"),
        ("{ EUR = [0, 25] }", "conversion.EUR", "out of bounds"),
        ("{ EUR = [0.92, 1] }", "conversion.EUR", "the number 0.92"),
        ("{ Euro = [23, 25] }", "conversion.Euro", "use a unit"),
    ],
)
def test_a_fault_of_a_conversion_is_named(conversion, path, part):
    text = EXAMPLE.replace('currency = "USD"', f'currency = "USD"\nconversion = {conversion}', 1)
    (line,) = errors_of(text)
    assert line.startswith(f"catalogue.{path}: ")
    assert part in line


@pytest.mark.requirement("PRC-9")
def test_each_pair_of_plan_and_model_has_a_price_in_the_plans_unit():
    studio = EXAMPLE.replace('sells = ["score-image"]', 'sells = ["score-image", "swift-1"]')
    (line,) = errors_of(studio)
    assert line.startswith("plans.studio.sells: ")
    assert "add catalogue.conversion.CREDIT" in line
    retail = 'retail = { USD = { input = "1", output = "2" } }'
    (line,) = errors_of(studio.replace(COST_PLUS, f'rule = "retail"\n{retail}'))
    assert "add CREDIT to models.swift-1.retail" in line
    both = retail.replace("} }", '}, CREDIT = { input = "30", output = "90" } }')
    parse(studio.replace(COST_PLUS, f'rule = "retail"\n{both}'))
    parse(studio.replace('currency = "USD"', 'currency = "USD"\nconversion.CREDIT = [50, 1]', 1))
