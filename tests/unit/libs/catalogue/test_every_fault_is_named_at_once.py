"""A bad farebox.toml is refused with all its faults, each by key path and with the fix."""

import pytest

from libs.catalogue import DEFAULT_LIMITS, CatalogueError, Limits, load, parse
from tests.support.catalogue import EXAMPLE, NO_LIMITS, WHOLE_GRAMMAR

UNSETTLED = 'unsettled = "release"'


def fee(**given: str) -> str:
    """A fee that is right but for what is given."""
    parts = {"currency": '"USD"', "amount": '"0.01"', "schedule": '"fidelity-1"'} | given
    return f"fee = {{ {', '.join(f'{name} = {value}' for name, value in parts.items())} }}"


def errors_of(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        parse(text)
    return caught.value.errors


def errors_after(*changes: tuple[str, str]) -> list[str]:
    text = EXAMPLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return errors_of(text)


def test_the_example_has_no_fault():
    book = parse(EXAMPLE)
    assert set(book.plans) == {"payg", "studio"}
    assert book.gateway.body_max == 8 * 1024 * 1024
    assert book.gateway.listen == ("127.0.0.1", 8402)
    assert book.upstreams["north"].timeouts.first_byte_s == 120
    assert book.upstreams["scorer"].timeouts.connect_s == 5
    assert book.recharge.sweep_s == 60


def test_the_whole_grammar_has_no_fault():
    book = parse(WHOLE_GRAMMAR)
    assert len(book.models["swift-1"].routes) == 2
    assert book.plans["payg-eur"].unit == "EUR"


@pytest.mark.requirement("LIM-1")
def test_a_plan_that_says_nothing_about_limits_has_ten_requests_a_minute():
    said = parse(EXAMPLE.replace(NO_LIMITS, 'limits = { requests = 600, per = "1h" }', 1))
    assert said.plans["payg"].limits == Limits(600, 3_600_000, 8)
    assert parse(EXAMPLE.replace(NO_LIMITS, "")).plans["payg"].limits == DEFAULT_LIMITS
    assert Limits(10, 60_000, 8) == DEFAULT_LIMITS


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("margin_bps = 1000", 'included = "5"', "plans.payg.included"),
        (
            'input = "0.30"',
            'input = "0.30", second = "1"',
            "upstreams.south.prices.swift-1-b.second",
        ),
    ],
)
def test_further_keys_of_the_grammar_are_refused_by_name(old, new, path):
    (line,) = errors_after((old, new))
    assert line.startswith(f"{path}: ")
    assert "not built yet in this version" in line


@pytest.mark.parametrize(
    ("old", "new", "path", "part"),
    [
        ("margin_bps", "margin_bp", "plans.payg.margin_bp", 'did you mean "margin_bps"?'),
        ("[gateway]", "[gatway]", "gatway", 'did you mean "gateway"?'),
        ("idle", "idel", "upstreams.north.timeouts.idel", 'did you mean "idle"?'),
        ('gives = "10.00"', "gives = 10.00", "packs.usd-10.gives", 'write "10.0"'),
        (
            'input = "0.25"',
            "input = 0.25",
            "upstreams.north.prices.swift-1.input",
            'amounts are strings, exact: write "0.25"',
        ),
        ('CREDIT = "1"', "CREDIT = 1", "operations.score-image.price.CREDIT", 'write "1"'),
        ('CREDIT = "1"', 'CREDIT = "1.5"', "operations.score-image.price.CREDIT", "whole number"),
        ('CREDIT = "1"', 'CREDIT = "0"', "operations.score-image.price.CREDIT", "above 0"),
        ('CREDIT = "1"', 'CREDIT = "5000000000"', "score-image.price.CREDIT", "out of bounds"),
        ('gives = "10.00"', 'gives = "99999999999"', "packs.usd-10.gives", "out of bounds"),
        ('CREDIT = "1"', 'CREDIT = "-1"', "operations.score-image.price.CREDIT", "not an amount"),
        ('CREDIT = "1"', 'CREDIT = "1e3"', "operations.score-image.price.CREDIT", "not an amount"),
        ('USD = "10.00"', 'USD = "10.001"', "packs.usd-10.price.USD", "finer than USD"),
        ('output = "2.00"', 'output = "2.0000001"', "swift-1.output", "at most 6 decimals"),
        ('output = "2.00"', 'output = "1000001"', "swift-1.output", "out of bounds"),
        ('output = "2.00", ', "", "upstreams.north.prices.swift-1.output", "is missing"),
        ('cached_input = "0.025"', 'cached_input = "0.26"', "swift-1.cached_input", "dearer"),
        ('"FAREBOX_UPSTREAM_NORTH_KEY"', '"OPENAI_API_KEY"', "north.key_env", "customer's own"),
        ('"FAREBOX_UPSTREAM_NORTH_KEY"', '"FAREBOX_ADMIN_TOKEN"', "north.key_env", "own variables"),
        ('"FAREBOX_UPSTREAM_NORTH_KEY"', '"north key"', "north.key_env", "capitals"),
        ('"https://llm.north.example/v1"', '"llm.north.example"', "north.base_url", "http"),
        ('"https://llm.north.example/v1"', '"https://u:p@x/v1"', "north.base_url", "more than"),
        ('"https://llm.north.example/v1"', '"https://x:99999"', "north.base_url", "address"),
        ('connect = "5s"', 'connect = "5"', "north.timeouts.connect", "not a duration"),
        ('connect = "5s"', "connect = 5", "north.timeouts.connect", "write a string"),
        ('connect = "5s"', 'connect = "0s"', "north.timeouts.connect", "out of bounds"),
        ('"8MiB"', '"8MB"', "gateway.body_max", "not a size"),
        ('"127.0.0.1:8402"', '"127.0.0.1"', "gateway.listen", "port"),
        ('"127.0.0.1:8402"', '"127.0.0.1:70000"', "gateway.listen", "port"),
        ('"127.0.0.1:8402"', '"127.0.0.256:80"', "gateway.listen", "host"),
        ('"127.0.0.1:8402"', '"::1:80"', "gateway.listen", "host"),
        ('"127.0.0.1:8403"', '"127.0.0.1:8402"', "gateway.admin_listen", "taken by gateway.listen"),
        ('sweep = "60s"', 'sweep = "1500ms"', "recharge.sweep", "whole seconds"),
        ('sweep = "60s"', 'sweep = "500ms"', "recharge.sweep", "out of bounds"),
        ("partitions = 4", "partitions = 0", "ledger.partitions", "1 to 1024"),
        ("partitions = 4", "partitions = true", "ledger.partitions", "boolean true"),
        ('"north/swift-1"', '"nort/swift-1"', "swift-1.routes[0]", 'did you mean "north"?'),
        ('"north/swift-1"', '"north/swift-2"', "swift-1.routes[0]", 'did you mean "swift-1"?'),
        ('"north/swift-1"', '"scorer/swift-1"', "swift-1.routes[0]", "openai"),
        ('["north/swift-1"]', "[]", "models.swift-1.routes", "is empty"),
        (
            '["north/swift-1"]',
            '["north/swift-1"]\nweights = [1, 1]',
            "models.swift-1.weights",
            "each",
        ),
        (
            '["north/swift-1"]',
            '["north/swift-1"]\nweights = [0]',
            "models.swift-1.weights",
            "all 0",
        ),
        ("= 4096", "= 32_001", "models.swift-1.default_max_output", "above max_output 32000"),
        ('upstream = "scorer"', 'upstream = "score"', "route.upstream", 'did you mean "scorer"?'),
        ('path = "/v1/score-image"', 'path = "/v1/chat/x"', "route.path", "belongs to Farebox"),
        ('path = "/v1/score-image"', 'path = "v1"', "route.path", "not a path"),
        ('success = ["2xx"]', 'success = ["2xx", "2xx"]', "success[1]", "listed twice"),
        ('success = ["2xx"]', "success = [200]", "success[0]", "write a string"),
        ('sells = ["swift-1"]', 'sells = ["swift-2"]', "plans.payg.sells", 'mean "swift-1"?'),
        ('sells = ["swift-1"]', 'sells = ["score-image"]', "plans.payg.sells", "no price in USD"),
        (
            'sells = ["score-image"]',
            'sells = ["swift-1"]',
            "plans.studio.sells",
            "conversion.CREDIT",
        ),
        ('packs = ["usd-10"]', 'packs = ["usd-11"]', "plans.payg.packs", 'mean "usd-10"?'),
        ('packs = ["usd-10"]', 'packs = ["credits-100"]', "plans.payg.packs", "gives CREDIT"),
        (
            'packs = ["usd-10"]',
            'recharge_pack = "usd-10"',
            "payg.recharge_pack",
            "CREDIT plans only",
        ),
        ('"credits-500"   ', '"credits-50"   ', "studio.recharge_pack", "not among its packs"),
        ("shelf_months = 12", "shelf_months = 0", "packs.usd-10.shelf_months", "1 to 120"),
        ('"release"', '"keep"', "score-image.unsettled", 'use "release" or "charge"'),
        (UNSETTLED, fee(amount='"0.001"'), "score-image.fee.amount", "at most 2 decimals"),
        (UNSETTLED, fee(amount='"0"'), "score-image.fee.amount", "above 0"),
        (UNSETTLED, fee(amount="0.01"), "score-image.fee.amount", 'write "0.01"'),
        (UNSETTLED, fee(currency='"usd"'), "score-image.fee.currency", "not a currency"),
        (UNSETTLED, fee(currency='"CREDIT"'), "score-image.fee.currency", "not a currency"),
        (UNSETTLED, fee(currency='"JPY"'), "score-image.fee.amount", "finer than JPY"),
        (UNSETTLED, fee(schedule='"Fidelity 1"'), "score-image.fee.schedule", "not a name"),
        (UNSETTLED, 'fee = { amount = "1" }', "score-image.fee.currency", "is missing"),
        (UNSETTLED, 'fee = "0.01"', "operations.score-image.fee", "write a table"),
        ('unit = "CREDIT"', 'unit = "CREDIT"\ninitial = "1.5"', "studio.initial", "whole number"),
        ('unit = "CREDIT"', 'unit = "CREDIT"\ninitial = "0"', "studio.initial", "above 0"),
        ('unit = "CREDIT"', 'unit = "CREDIT"\ninitial = 20', "studio.initial", 'write "20"'),
        ("requests = 1_000_000", "requests = 0", "plans.payg.limits.requests", "1 to 1000000"),
        ('per = "1s"', 'per = "1ms"', "plans.payg.limits.per", "out of bounds"),
        ("concurrent =", "concurent =", "limits.concurent", 'did you mean "concurrent"?'),
        ("[plans.payg]", '[plans."Pay go"]', 'plans."Pay go"', "lower-case"),
        ("[operations.score-image]", "[operations.swift-1]", "models.swift-1", "same name"),
        ('currency = "USD"  ', 'currency = "usd"  ', "catalogue.currency", "not a currency"),
    ],
)
def test_a_fault_is_named_by_path_and_fix(old, new, path, part):
    lines = [line for line in errors_after((old, new)) if path in line.partition(": ")[0]]
    assert any(part in line for line in lines), errors_after((old, new))


def test_faults_of_every_part_are_told_together():
    errors = errors_after(
        ('input = "0.25"', "input = 0.25"),
        ("margin_bps = 1000", 'margin_bps = "ten"\ndiscount = 1'),
        ('packs = ["usd-10"]', 'packs = ["usd-11"]'),
        ("partitions = 4", "partitions = 0"),
        ('sells = ["score-image"]', 'sells = ["swift-1"]'),
    )
    starts = (
        "upstreams.north.prices.swift-1.input",
        "plans.payg.margin_bps",
        "plans.payg.discount",
        "plans.payg.packs",
        "ledger.partitions",
        "plans.studio.sells",
    )
    assert len(errors) == len(starts)
    assert all(any(line.startswith(start + ": ") for line in errors) for start in starts)


def test_what_refers_to_a_broken_entry_is_not_a_second_fault():
    (line,) = errors_after(('[plans.payg]\nunit = "USD"', "[plans.payg]\nunit = 7"))
    assert line.startswith("plans.payg.unit: ")
    (line,) = errors_after(('CREDIT = "1"', "CREDIT = true"))
    assert line.startswith("operations.score-image.price.CREDIT: ")


def test_an_unreadable_file_says_where(tmp_path):
    (line,) = errors_of("[catalogue\ncurrency = 1")
    assert "not TOML" in line
    assert "line 1" in line
    with pytest.raises(CatalogueError, match="cannot be read"):
        load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(CatalogueError, match="not UTF-8"):
        load(tmp_path / "latin.toml")


def test_an_empty_file_asks_for_what_must_be_there():
    (line,) = errors_of("")
    assert line == 'catalogue.currency: is missing; add currency = "USD"'


def test_sections_that_are_no_tables_are_faults():
    errors = errors_of('plans = 1\ngateway = []\npacks = { a = "x" }\n[catalogue]\ncurrency="USD"')
    assert {line.partition(": ")[0] for line in errors} == {"plans", "gateway", "packs.a"}


def test_the_text_of_the_error_lists_all_faults(tmp_path):
    (tmp_path / "farebox.toml").write_text("x = 1", encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path / "farebox.toml")
    assert str(caught.value).startswith("farebox.toml has 2 errors:\n")
