"""A page as CSV: what a spreadsheet makes of it is what was written."""

import csv
import io

import pytest

from services.gateway.pages import cell_text, prefers_csv, table


@pytest.mark.requirement("AUD-3")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=1+1", "'=1+1"),
        ("+1 234", "'+1 234"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-0.000000001", "-0.000000001"),
        ("-5", "-5"),
        ("1e5", "1e5"),
        (-5, "-5"),
        (None, ""),
        (True, "true"),
        ({"team": "=1"}, '{"team":"=1"}'),
        ("plain, with a comma", "plain, with a comma"),
    ],
)
def test_no_text_is_a_formula_and_no_amount_is_changed(value, text):
    assert cell_text(value) == text


def test_a_table_reads_back_as_it_was():
    rows = [
        {"name": 'a "quoted" word', "fee": {"amount": "0.01", "currency": "USD"}},
        {"name": "two\nlines", "fee": None},
    ]
    told = table(["name", "fee_amount", "fee_currency"], rows)
    assert told.splitlines()[0] == "name,fee_amount,fee_currency"
    assert list(csv.reader(io.StringIO(told)))[1:] == [
        ['a "quoted" word', "0.01", "USD"],
        ["two\nlines", "", ""],
    ]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/csv", True),
        ("application/json", False),
        ("application/json, text/csv", False),
        ("application/json;q=0.5, text/csv", True),
        ("Text/CSV;q=0.1", True),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
    ],
)
def test_a_table_is_told_to_who_prefers_it(accept, wanted):
    assert prefers_csv(accept) is wanted
