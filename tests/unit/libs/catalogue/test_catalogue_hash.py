"""The hash names what is sold and at which price, and nothing else."""

import hashlib
import json
import re

import pytest

from libs.catalogue import parse
from tests.support.catalogue import EXAMPLE

HASH = parse(EXAMPLE).hash
TIER = 'tiers = [{ above = 1000, input = "0.60", output = "4.80" }]'
OWN = 'retail = { USD = { input = "1.00", output = "2.00" } }'


def changed(old: str, new: str) -> str:
    assert EXAMPLE.count(old) >= 1, old
    return parse(EXAMPLE.replace(old, new, 1)).hash


@pytest.mark.requirement("CRD-6")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('input = "0.25"', 'input = "0.26"'),
        ('cached_input = "0.025"', 'cached_input = "0.02"'),
        ('output = "2.40"', 'output = "2.41"'),
        ("max_input = 400_000", "max_input = 400_001"),
        ("max_output = 32_000 }\n[upstreams.south]", "max_output = 32_001 }\n[upstreams.south]"),
        ('prices."swift-1-b"', 'prices."swift-1-c"'),
        ('routes = ["north/swift-1"]', 'routes = ["south/swift-1-b"]'),
        ("default_max_output = 4096", "default_max_output = 4095"),
        ('path = "/v1/score-image"', 'path = "/v1/score"'),
        ('upstream_path = "/score"', 'upstream_path = "/other"'),
        ('price = { CREDIT = "1" }', 'price = { CREDIT = "2" }'),
        ('price = { CREDIT = "1" }', 'price = { CREDIT = "1", USD = "0.01" }'),
        ('success = ["2xx"]', 'success = ["200"]'),
        ('timeout = "60s"', 'timeout = "61s"'),
        ('unsettled = "release"', 'unsettled = "charge"'),
        ('unsettled = "release"', 'fee = { currency = "USD", amount = "0.01", schedule = "f" }'),
        ('unit = "CREDIT"', 'unit = "CREDIT"\ninitial = "20"'),
        ("margin_bps = 1000", "margin_bps = 1001"),
        ("concurrent = 100_000", "concurrent = 9"),
        ('sells = ["score-image"]', "sells = []"),
        ('packs = ["usd-10"]', "packs = []"),
        ('recharge_pack = "credits-500"', 'recharge_pack = "credits-100"'),
        ('gives = "10.00"', 'gives = "11.00"'),
        ('price = { USD = "10.00" }', 'price = { USD = "10.01" }'),
        ("shelf_months = 12", "shelf_months = 11"),
        ("[plans.payg]", "[plans.basic]"),
        ('currency = "USD"  ', 'currency = "USD"\nconversion = { EUR = [23, 25] }'),
        ('input = "0.30"', 'input = "0.30", cache_write = "0.40"'),
        ('input = "0.30"', 'input = "0.30", cache_write_1h = "0.60"'),
        ('input = "0.30"', 'input = "0.30", image_input = "0.60"'),
        ('input = "0.30"', 'input = "0.30", image_output = "0.60"'),
        ('input = "0.30"', 'input = "0.30", image = "0.04"'),
        ('input = "0.30"', 'input = "0.30", image_tokens_max = 1500'),
        ('input = "0.30"', f'input = "0.30", {TIER}'),
        ('rule = "cost_plus"', f'rule = "retail"\n{OWN}'),
    ],
)
def test_covers_what_is_sold_and_its_price(old, new):
    assert changed(old, new) != HASH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('base_url = "https://llm.north.example/v1"', 'base_url = "https://other.example"'),
        ('shape = "openai"', 'shape = "openai"\ncap_field = "max_tokens"\ntier = "standard"'),
        ("FAREBOX_UPSTREAM_NORTH_KEY", "FAREBOX_UPSTREAM_OTHER_KEY"),
        ('connect = "5s"', 'connect = "6s"'),
        ('idle = "120s"', 'idle = "10m"'),
        ("partitions = 4", "partitions = 3"),
        ('"127.0.0.1:8402"', '"127.0.0.1:9402"'),
        ('admin_listen = "127.0.0.1:8403"', ""),
        ("workers = 2", "workers = 5"),
        ('body_max = "8MiB"', 'body_max = "1MiB"'),
        ('"127.0.0.1:8404"', '"[::1]:0"\npublic_url = "https://pay.example"'),
        ('sweep = "60s"', 'sweep = "10m"'),
    ],
)
def test_leaves_out_how_farebox_runs(old, new):
    assert changed(old, new) == HASH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("margin_bps = 1000", ""),
        ('success = ["2xx"]', ""),
        ('timeout = "60s"', ""),
        ('unsettled = "release"', ""),
        ("default_max_output = 4096", ""),
        ('rule = "cost_plus"', ""),
        ('method = "POST", ', ""),
        ("timeouts = {", "# timeouts = {"),
        ('gives = "10.00"', 'gives = "10"'),
        ('output = "2.00"', 'output = "2"'),
        ('timeout = "60s"', 'timeout = "1m"'),
        ('price = { USD = "2.00", EUR = "1.90" }', 'price = { EUR = "1.90", USD = "2.00" }'),
    ],
)
def test_defaults_and_spelling_do_not_change_it(old, new):
    assert changed(old, new) == HASH


def test_a_ratio_is_the_same_in_any_terms():
    conversion = 'currency = "USD"\nconversion = { EUR = [23, 25] }\n#'
    assert changed('currency = "USD"  ', conversion) == changed(
        'currency = "USD"  ', conversion.replace("[23, 25]", "[46, 50]")
    )


def test_the_hash_is_that_of_a_text_that_can_be_kept():
    """Whoever has the text proves what was sold, without any code of ours."""
    text = parse(EXAMPLE).text
    assert hashlib.sha256(text.encode()).hexdigest() == HASH
    assert json.loads(text)["upstreams"]["north"]["prices"]["swift-1"]["output"] == 2_000_000
    # What is none stays out: a key that a later version knows changes no file that lacks it.
    assert "null" not in text


def test_order_of_what_is_sold_means_nothing():
    price = 'price = { CREDIT = "1", USD = "1" }'
    text = EXAMPLE.replace('price = { CREDIT = "1" }', price)
    one = text.replace('sells = ["swift-1"]', 'sells = ["swift-1", "score-image"]')
    two = text.replace('sells = ["swift-1"]', 'sells = ["score-image", "swift-1"]')
    assert parse(one).hash == parse(two).hash


def test_is_a_sha256_in_hex_and_stays_the_same():
    assert re.fullmatch("[0-9a-f]{64}", HASH)
    assert parse(EXAMPLE).hash == HASH
