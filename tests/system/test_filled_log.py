"""What the benchmarks measure on: a log that was copied in must be as sound as one written."""

import pytest

from benchmarks.filling import Scale, fill
from benchmarks.installation import installed
from benchmarks.replaying import verify


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with installed(tmp_path_factory.mktemp("filled"), {"shared_buffers": "64MB"}) as made:
        fill(made, Scale(accounts=60, requests=3), lambda _line: None)
        yield made


def test_the_auditor_accepts_a_filled_log(filled):
    assert verify(filled)["events"] == filled.logged()[1] == 60 * 9


def test_the_ledger_goes_on_where_a_filled_log_ends(filled):
    filled.start("ledger")
    filled.open_accounts(2)
    told = 60 * 9 + 6 + 1  # two accounts, and the catalogue they buy by
    assert filled.logged() == (told, told)
    assert verify(filled)["events"] == told
    filled.stop()
