import pytest

from libs.runtime.database import sqlalchemy_url


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_any_form_of_the_address_becomes_sqlalchemys(scheme):
    assert sqlalchemy_url(f"{scheme}://a:b%40@h:1/d") == "postgresql+asyncpg://a:b%40@h:1/d"


@pytest.mark.parametrize("address", ["", "mysql://a", "host/db"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError):
        sqlalchemy_url(address)
