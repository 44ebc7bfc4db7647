import pytest

from services.payments.backoff import Backoff


@pytest.mark.parametrize(
    ("tries", "whole"), [(0, 0.5), (1, 0.5), (2, 1), (5, 8), (9, 60), (10**6, 60)]
)
def test_waits_double_up_to_a_cap(tries, whole):
    waits = [Backoff(0.5, 60).wait_s(tries) for _ in range(50)]
    assert all(whole * 0.75 <= wait <= whole for wait in waits)
    assert len(set(waits)) > 1
