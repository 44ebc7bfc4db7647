import pytest
from pydantic import ValidationError

from services.gateway.settings import AdminSettings, GatewaySettings


@pytest.mark.requirement("RSV-4")
@pytest.mark.parametrize("settings", [{}, {"request_max_s": 5, "drain_max_s": 7}])
def test_credits_are_held_longer_than_the_longest_request_and_its_drain(settings: dict):
    found = GatewaySettings(**settings)
    assert found.hold_ms > (found.request_max_s + found.drain_max_s) * 1000


def test_the_operators_token_is_not_shown():
    assert "hidden-word" not in repr(AdminSettings(admin_token="hidden-word"))


def test_where_redis_is_can_hold_a_password_and_is_not_shown():
    assert "hidden-word" not in repr(GatewaySettings(redis_url="redis://user:hidden-word@host"))


@pytest.mark.parametrize("url", ["localhost:6379", "http://host", "redis"])
def test_what_is_no_address_of_a_redis_is_refused_at_the_start(url: str):
    with pytest.raises(ValidationError, match="redis_url"):
        GatewaySettings(redis_url=url)
