"""What tests take from the developer's shell: nothing but this; the rest is set by each test."""

import os

REQUIRE_ALL = bool(os.environ.get("FAREBOX_REQUIRE_ALL"))
"""A test that cannot run here fails instead of being left out: set in CI."""

for _name in [name for name in os.environ if name.startswith("FAREBOX_")]:
    if _name != "FAREBOX_REQUIRE_ALL":  # pytest's workers are started with this environment
        del os.environ[_name]
