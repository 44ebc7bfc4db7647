"""Rules of the house that no linter knows, read from the tree itself."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE = 400
MAX_FUNCTION = 60
PRODUCT = ("libs", "services", "farebox", "simulators", "deploy")
MONEY = (
    "libs/events",
    "libs/catalogue",
    "services/ledger",
    "services/gateway",
    "services/payments",
)
FLOATS_ARE_SECONDS = re.compile(r"(_s|seconds?|timeout|pause|delay|patience|wait|at|poll|backoff)$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    files = (ROOT / name for name in listed.stdout.splitlines())
    return [path for path in files if path.suffix in suffixes and path.is_file()]


PYTHON = [path for path in tracked(".py") if "versions" not in path.parts]
IDS = [str(path.relative_to(ROOT)) for path in PYTHON]


@cache
def tree(path: Path) -> ast.Module:
    """Parsed when a rule asks, not when pytest collects: every worker collects this module."""
    return ast.parse(path.read_text())


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def test_files_are_at_most_400_lines():
    assert [
        name
        for path, name in zip(PYTHON, IDS, strict=True)
        if len(path.read_text().splitlines()) > MAX_FILE
    ] == []


def test_functions_are_at_most_60_lines():
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in PYTHON
        for node in functions(path)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION
    ] == []


def test_nothing_is_marked_unfinished():
    this = Path(__file__)
    assert [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked(".py", ".sql", ".toml", ".md", ".sh")
        if path != this
        for line in path.read_text().splitlines()
        if UNFINISHED.search(line)
    ] == []


def test_no_naive_time():
    """datetime.now() and utcnow() without a zone, and time zones by guess."""
    naive = re.compile(r"datetime\.(utcnow|now\(\))|fromtimestamp\([^,()]*\)")
    assert [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in PYTHON
        if path.parts[len(ROOT.parts)] in PRODUCT
        for line in path.read_text().splitlines()
        if naive.search(line)
    ] == []


def test_no_float_near_money():
    """In the rooms of money a float may only be a duration in seconds, named as one."""
    wrong = []
    for path in PYTHON:
        name = str(path.relative_to(ROOT))
        if not name.startswith(MONEY):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float":
                wrong.append(f"{name}:{node.lineno} float()")
    assert wrong == []


def test_tests_do_not_sleep_for_luck():
    """A test waits for a condition; only the helpers that poll for one may sleep."""
    asleep = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in PYTHON
        if path.name.startswith("test_")
        for function in functions(path)
        if function.name.startswith("test_")
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"time.sleep", "asyncio.sleep"}
        and ast.unparse(call.args[0]) != "0"
    ]
    assert asleep == []


@pytest.mark.parametrize("page", tracked(".md"), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [
        link
        for link in links
        if "://" not in link
        and not link.startswith("mailto:")
        and not (page.parent / link).exists()
    ]
    assert missing == []


def test_data_of_stored_events_is_read_in_its_newest_form():
    """Directly only the envelope may be read, which has one form for ever; else `load_event`."""
    read = re.compile(r"orjson\.loads\([^)]*body[^)]*\)")
    assert {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (*(ROOT / "services" / "ledger").rglob("*.py"), *(ROOT / "libs").rglob("*.py"))
        for line in path.read_text().splitlines()
        if read.search(line) and '["occurred_at"]' not in line
    } == {"services/ledger/follower.py: event = orjson.loads(body)"}, (
        "which decode() brings forward"
    )
