"""What each row of docs/requirements.md rests on: row, status, tests and their latest results.

`python -m tests.support.requirements build/junit.xml` prints it and exits 1 when a test names a row
that does not exist, or a row is called done without a passing, not skipped test.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

TABLE = Path(__file__).parents[2] / "docs" / "requirements.md"
_ROW = re.compile(r"^\| *([A-Z]{3}-\d+)(?: S)? *\|(.*)\| *(open|part|done)\b([^|]*)\| *$")


@dataclass(frozen=True)
class Result:
    """One test's outcome: `passed`, `failed` or `skipped`."""

    test: str
    outcome: str


def statuses(text: str) -> dict[str, str]:
    """Return open, part or done for each row of the tables in requirements.md."""
    rows = (match for line in text.splitlines() if (match := _ROW.match(line)))
    return {row[1]: row[3] for row in rows}


def known_ids() -> frozenset[str]:
    return frozenset(statuses(TABLE.read_text()))


def results(junit: Path) -> dict[str, list[Result]]:
    """Return the results by requirement id of a junit file that our conftest wrote."""
    found: dict[str, list[Result]] = defaultdict(list)
    for case in ET.parse(junit).iter("testcase"):
        result = Result(f"{case.get('classname')}.{case.get('name')}", _outcome(case))
        for item in case.iterfind("properties/property[@name='requirement']"):
            found[str(item.get("value"))].append(result)
    return found


def problems(rows: Mapping[str, str], found: Mapping[str, Iterable[Result]]) -> list[str]:
    """Return what is wrong between the rows' statuses and the tests' results."""
    wrong = [
        f"{name}: tests name it, docs/requirements.md does not" for name in found.keys() - rows
    ]
    for name, status in rows.items():
        outcomes = {result.outcome for result in found.get(name, ())}
        if status == "done" and "passed" not in outcomes:
            wrong.append(f"{name}: marked done, but no test of it passed")
        if status == "done" and outcomes - {"passed"}:
            wrong.append(f"{name}: marked done, but a test of it did not pass")
    return sorted(wrong)


def report(rows: Mapping[str, str], found: Mapping[str, list[Result]]) -> str:
    lines = []
    for name, status in rows.items():
        tests = found.get(name, [])
        lines.append(f"{name:7} {status:5} {len(tests)} tests")
        lines.extend(f"          {result.outcome:8} {result.test}" for result in tests)
    return "\n".join(lines)


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def main(junit: Path) -> int:
    if not junit.exists():
        sys.stderr.write(f"{junit} is not there: run `make test` first\n")
        return 1
    rows, found = statuses(TABLE.read_text()), results(junit)
    wrong = problems(rows, found)
    sys.stdout.write(report(rows, found) + "\n")
    sys.stderr.write("".join(f"requirements: {line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
