import gc
import re
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from deploy.local.stack import LocalStack
from libs.runtime.streams import provision
from tests.support.database import PARTITIONS, Database, make_database, make_template
from tests.support.environment import REQUIRE_ALL
from tests.support.nats import connected, delete_streams
from tests.support.requirements import known_ids

LONGEST_FIRST = ("tests/seeded/", "tests/system/", "tests/integration/")
_RANDOM = re.compile(r"(?<=fb_)\d+_[A-Za-z0-9_-]{43}|[0-9a-f]{32}")

# What is imported and collected stays to the end: looking it through for garbage, again and
# again while it grows, would take a quarter of the collection's time.
gc.disable()

# How long an example takes is the machine's doing: by default more than 0.2 s are a failure.
settings.register_profile("farebox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farebox")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Real Postgres and NATS of this pytest worker, started once."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder, postgres_settings={"shared_buffers": "64MB"}) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(stack: LocalStack) -> str:
    """Name of the migrated database that others are copied from."""
    return make_template(stack)


@pytest.fixture(scope="module")
def database(stack: LocalStack, template: str) -> Iterator[Database]:
    """A migrated database of the module's own, with 3 partitions."""
    made = make_database(stack, template)
    yield made
    stack.drop_database(made.name)


@pytest.fixture(scope="module")
async def nats_clean(stack: LocalStack) -> LocalStack:
    """The stack, with no stream left by an earlier module."""
    await delete_streams(stack)
    return stack


@pytest.fixture(scope="module")
async def streams(nats_clean: LocalStack) -> LocalStack:
    """The stack, with the product's streams and durables freshly provisioned, 3 partitions."""
    async with connected(nats_clean, "provision") as client:
        await provision(client, PARTITIONS)
    return nats_clean


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name tests alike in every worker although ids and secrets in their parameters are random."""
    if isinstance(val, str) and _RANDOM.search(val):
        return _RANDOM.sub("random", val)
    return None


def _rank(item: pytest.Item) -> int:
    """Files of many seconds go first, so that no worker is left alone with one at the end."""
    found = (n for n, folder in enumerate(LONGEST_FIRST) if item.nodeid.startswith(folder))
    return next(found, len(LONGEST_FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the longest files first; tell junit the requirements, and refuse an unknown one."""
    items.sort(key=_rank)
    known = known_ids()
    for item in items:
        for marker in item.iter_markers("requirement"):
            for requirement in marker.args:
                if requirement not in known:
                    raise pytest.UsageError(f"{item.nodeid}: no requirement {requirement!r}")
                item.user_properties.append(("requirement", requirement))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REQUIRE_ALL and terminalreporter.stats.get("skipped"):
        terminalreporter.section("FAREBOX_REQUIRE_ALL is set, but tests were skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if REQUIRE_ALL and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
