import pytest

from tests.sdk.install import install


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """The SDKs in the versions that are locked; `make sdks` has put them there before."""
    install()
