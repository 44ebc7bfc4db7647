"""`pytest -p tests.support.compiled`: the same tests on what `make compiled` made."""

import pytest

from libs.runtime.compiled import usable, use_compiled

REPLACING = {"monkeypatch", "changed"}
"""Fixtures that put something else in a module's place."""

use_compiled()
if not usable():
    raise SystemExit("nothing is compiled, or the sources changed since: make compiled")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that replace parts of a module: compiled modules call theirs directly."""
    replacing = [item for item in items if REPLACING & {*getattr(item, "fixturenames", ())}]
    config.hook.pytest_deselected(items=replacing)
    items[:] = [item for item in items if item not in set(replacing)]
