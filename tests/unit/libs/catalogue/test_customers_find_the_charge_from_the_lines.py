"""GET /billing/v1/prices tells the charge to the nano, whatever the rule, unit, kinds and tiers."""

from decimal import ROUND_CEILING, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.catalogue import Usage, parse, price_lines
from libs.catalogue.book import KINDS
from libs.events.ids import new_id
from services.gateway.keys import KeyInfo
from services.gateway.offers import Offers
from tests.support.catalogue import EXAMPLE, WHOLE_GRAMMAR

pytestmark = pytest.mark.requirement("PRC-9")

SOUTH = 'prices."swift-1-b" = { input = "0.30", output = "2.40", '
PER_TOKEN = st.integers(0, 10**7)


def text_of(pico: int) -> str:
    return f'"{pico // 10**6}.{pico % 10**6:06d}"'


@st.composite
def rate_tables(draw) -> str:
    """Rates of every kind and a dearer tier."""
    plain = draw(st.integers(1, 10**6))
    text = draw(PER_TOKEN)
    write = draw(PER_TOKEN)
    rates = {
        "input": plain,
        "cached_input": draw(st.integers(0, plain)),
        "cache_write": write,
        "cache_write_1h": write + draw(PER_TOKEN),
        "image_input": draw(PER_TOKEN),
        "output": text,
        "image_output": draw(PER_TOKEN),
    }
    dearer = draw(st.integers(1, 3))
    named = ", ".join(f"{kind} = {text_of(rate)}" for kind, rate in rates.items())
    above = ", ".join(f"{kind} = {text_of(rate * dearer)}" for kind, rate in rates.items())
    image = f'image = "0.{draw(st.integers(0, 10**12 - 1)):012d}"'
    return f"{named}, {image}, tiers = [{{ above = 5000, {above} }}]"


counts = st.integers(0, 3000)
usages = st.builds(
    lambda plain, output, images, *kinds: Usage(
        plain + sum(kinds[:4]), kinds[0], output + kinds[4], *kinds[1:], images
    ),
    *[counts] * 3,
    *[counts] * 5,
)


def customers_charge(line: dict, usage: Usage) -> Decimal:
    """As a customer would: the tier by input tokens, each kind at its price, one rounding."""
    rates = line
    for tier in line["tiers"]:
        if usage.input_tokens > tier["above"]:
            rates = tier
    kinds = {
        "cached_input": usage.cached_tokens,
        "cache_write": usage.cache_write_tokens,
        "cache_write_1h": usage.cache_write_1h_tokens,
        "image_input": usage.image_input_tokens,
        "image_output": usage.image_output_tokens,
    }
    kinds["output"] = usage.output_tokens - kinds["image_output"]
    kinds["input"] = usage.input_tokens - sum(
        kinds[kind] for kind in ("cached_input", "cache_write", "cache_write_1h", "image_input")
    )
    with localcontext(prec=120):
        tokens = sum(count * Decimal(rates[kind]) for kind, count in kinds.items())
        total = tokens / line["per_tokens"] + usage.images * Decimal(line["image"]) / Decimal(
            line["per_images"]
        )
        # Beyond any exact price: what a division by a per that is no power of ten leaves behind.
        total = total.quantize(Decimal(1).scaleb(-90))
        return total.quantize(Decimal(line["step"]), rounding=ROUND_CEILING)


def charged(book, plan: str, usage: Usage) -> Decimal:
    unit = book.plans[plan].unit
    key = KeyInfo(
        new_id("key"), new_id("acct"), "inference", None, unit, plan, "active", "open", None, 1
    )
    offer = Offers(book).model(key, "swift-1", "openai")
    return Decimal(offer.charge(usage, offer.candidates[0]).charge) / 10**9


def line_of(book, plan: str) -> dict:
    (line,) = (line for line in price_lines(book, book.plans[plan]) if line["name"] == "swift-1")
    assert line.keys() >= {*KINDS, "image", "tiers", "max_input", "max_output"}
    return line


def sold(rates: str, *, unit: str = "USD", margin: int = 1000, more: str = "") -> str:
    text = EXAMPLE.replace(SOUTH, f'prices."swift-1-b" = {{ {rates}, ', 1)
    text = text.replace('["north/swift-1"]', '["south/swift-1-b"]')
    text = text.replace("margin_bps = 1000", f"margin_bps = {margin}")
    text = text.replace('[plans.payg]\nunit = "USD"', f'[plans.payg]\nunit = "{unit}"')
    text = text.replace('packs = ["usd-10"]', "packs = []")
    return text.replace('currency = "USD"  ', f'currency = "USD"\n{more}  ', 1)


@given(rate_tables(), usages, st.integers(0, 100_000))
def test_cost_plus_in_the_currency_of_the_upstreams(rates, usage, margin):
    book = parse(sold(rates, margin=margin))
    assert customers_charge(line_of(book, "payg"), usage) == charged(book, "payg", usage)


@given(
    rate_tables(),
    usages,
    st.integers(0, 100_000),
    st.sampled_from(["EUR", "CREDIT"]),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
)
def test_cost_plus_in_another_unit_by_a_ratio_that_may_have_no_end(
    rates, usage, margin, unit, num, den
):
    more = f"conversion = {{ {unit} = [{num}, {den}] }}"
    book = parse(sold(rates, unit=unit, margin=margin, more=more))
    assert customers_charge(line_of(book, "payg"), usage) == charged(book, "payg", usage)


@given(rate_tables(), usages, st.sampled_from(["USD", "EUR", "CREDIT"]))
def test_own_prices_in_any_unit(rates, usage, unit):
    text = sold('input = "0.30", output = "2.40"', unit=unit)
    text = text.replace(
        'rule = "cost_plus"', f'rule = "retail"\nretail = {{ {unit} = {{ {rates} }} }}'
    )
    book = parse(text)
    assert customers_charge(line_of(book, "payg"), usage) == charged(book, "payg", usage)


def test_a_ratio_without_an_end_is_told_for_more_tokens():
    more = "conversion = { EUR = [1, 3] }"
    line = line_of(parse(sold('input = "0.30", output = "1"', unit="EUR", more=more)), "payg")
    assert (line["per_tokens"], line["per_images"]) == (3_000_000, 3)
    assert (line["input"], line["output"]) == ("0.33", "1.10")


def test_euros_of_the_worked_example():
    text = WHOLE_GRAMMAR.replace(', "south/swift-1-b"', "")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("limits = "))
    book = parse(text)
    line = line_of(book, "payg-eur")
    assert (line["unit"], line["input"], line["output"]) == ("EUR", "0.253", "2.024")
    assert customers_charge(line, Usage(1200, 0, 350)) == Decimal("0.001012")
    assert book.packs["eur-50"].gives == 50 * 10**9
