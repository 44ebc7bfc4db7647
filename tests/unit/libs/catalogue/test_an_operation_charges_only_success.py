"""Which answers of an operation keep its price."""

import pytest

from libs.catalogue import parse
from tests.support.catalogue import EXAMPLE


@pytest.mark.requirement("PRC-5")
@pytest.mark.parametrize(
    ("success", "kept", "given_back"),
    [
        ('["2xx"]', (200, 201, 299), (199, 300, 404, 500)),
        ('["200", "404"]', (200, 404), (201, 400, 500)),
        ('["2xx", "409"]', (204, 409), (408, 410)),
    ],
)
def test_only_named_statuses_are_success(success, kept, given_back):
    book = parse(EXAMPLE.replace('success = ["2xx"]', f"success = {success}"))
    operation = book.operations["score-image"]
    assert all(operation.is_success(status) for status in kept)
    assert not any(operation.is_success(status) for status in given_back)
