import pytest

from services.gateway.settings import AdminSettings, GatewaySettings


@pytest.mark.requirement("RSV-4")
@pytest.mark.parametrize("settings", [{}, {"request_max_s": 5, "drain_max_s": 7}])
def test_credits_are_held_longer_than_the_longest_request_and_its_drain(settings: dict):
    found = GatewaySettings(**settings)
    assert found.hold_ms > (found.request_max_s + found.drain_max_s) * 1000


def test_the_operators_token_is_not_shown():
    assert "hidden-word" not in repr(AdminSettings(admin_token="hidden-word"))
