import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import money

amounts = st.integers(-money.MAX_TOTAL, money.MAX_TOTAL)
units = st.sampled_from(["USD", "EUR", "JPY", "CREDIT"])


@pytest.mark.parametrize(
    ("nanos", "unit", "text"),
    [
        (0, "USD", "0.00"),
        (1, "USD", "0.000000001"),
        (1_100_000_000, "USD", "1.10"),
        (1_012_000, "EUR", "0.001012"),
        (775_500, "USD", "0.0007755"),
        (10_000_000_000, "USD", "10.00"),
        (-1_500_000_000, "USD", "-1.50"),
        (-1, "EUR", "-0.000000001"),
        (0, "CREDIT", "0"),
        (20_000_000_000, "CREDIT", "20"),
        (-3_000_000_000, "CREDIT", "-3"),
        (1_500_000_000, "CREDIT", "1.50"),
        (money.MAX_TOTAL, "USD", "9223372036.854775807"),
    ],
)
@pytest.mark.requirement("CRD-1")
def test_an_amount_reads_as_people_write_it(nanos, unit, text):
    assert money.decimal_text(nanos, unit) == text


@given(amounts, units)
@pytest.mark.requirement("CRD-1")
def test_the_text_of_an_amount_gives_the_amount_back(nanos, unit):
    if money.is_integral(nanos, unit):
        assert money.parse_decimal(money.decimal_text(nanos, unit), unit) == nanos


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "1e3", "1E3", "+1", "--1", "1,5", " 1", "1 ", "1\n", "01", "1.0000000001", "NaN", "inf",
     "0x1", "1_000", "٣", "9223372036.854775808", "99999999999"],
)  # fmt: skip
def test_what_is_not_a_plain_decimal_is_refused(text):
    with pytest.raises(ValueError):
        money.parse_decimal(text, "USD")


@pytest.mark.requirement("ACC-1")
def test_credits_have_no_parts():
    assert money.parse_decimal("5", "CREDIT") == money.parse_decimal("5.00", "CREDIT")
    with pytest.raises(ValueError):
        money.parse_decimal("5.5", "CREDIT")
    assert not money.is_integral(1, "CREDIT")
    assert money.is_integral(1, "USD")


@pytest.mark.parametrize(
    ("minor", "currency", "nanos", "text"),
    [
        (1000, "USD", 10_000_000_000, "10.00"),
        (1, "EUR", 10_000_000, "0.01"),
        (500, "JPY", 500_000_000_000, "500"),
        (1234, "KWD", 1_234_000_000, "1.234"),
        (100, "UGX", 1_000_000_000, "1.00"),
        (-5, "USD", -50_000_000, "-0.05"),
        (0, "USD", 0, "0.00"),
    ],
)
def test_minor_units_are_those_of_the_currency(minor, currency, nanos, text):
    assert money.minor_to_nanos(minor, currency) == nanos
    assert money.minor_text(minor, currency) == text


def test_the_bounds_fit_a_bigint():
    assert money.MAX_AMOUNT * 2 - 1 == money.MAX_TOTAL == 2**63 - 1
