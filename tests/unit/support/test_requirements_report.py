import os
import subprocess
import sys

import pytest

from tests.support.requirements import TABLE, Result, main, problems, report, results, statuses

TEXT = """\
# What
| id | requirement | status |
|---|---|---|
| ACC-1 S | An account has `a | b` units | done |
| ACC-2 | Keys | part: caps are missing |
| ACC-3 S | More keys | open |
"""
ROWS = {"ACC-1": "done", "ACC-2": "part", "ACC-3": "open"}
JUNIT = """\
<testsuites><testsuite>
 <testcase classname="tests.a" name="good">
  <properties><property name="requirement" value="ACC-1"/><property name="requirement" value="ACC-2"/></properties>
 </testcase>
 <testcase classname="tests.a" name="bad">
  <properties><property name="requirement" value="ACC-2"/></properties><failure message="x"/>
 </testcase>
 <testcase classname="tests.a" name="left"><properties><property name="requirement" value="ACC-3"/></properties><skipped/></testcase>
 <testcase classname="tests.a" name="broken"><properties><property name="requirement" value="ACC-3"/></properties><error/></testcase>
 <testcase classname="tests.a" name="free"/>
</testsuite></testsuites>
"""


def passed(name="t"):
    return Result(name, "passed")


def test_rows_and_statuses_are_read_from_the_tables():
    assert statuses(TEXT) == ROWS


def test_every_row_of_the_project_s_page_is_read():
    ids = [
        line for line in TABLE.read_text().splitlines() if line.startswith("| ") and line[5] == "-"
    ]
    assert len(ids) == len(statuses(TABLE.read_text())) > 50


def test_results_are_found_by_requirement(tmp_path):
    (tmp_path / "junit.xml").write_text(JUNIT)
    assert results(tmp_path / "junit.xml") == {
        "ACC-1": [Result("tests.a.good", "passed")],
        "ACC-2": [Result("tests.a.good", "passed"), Result("tests.a.bad", "failed")],
        "ACC-3": [Result("tests.a.left", "skipped"), Result("tests.a.broken", "failed")],
    }


def test_a_done_row_needs_a_passing_test():
    assert problems(ROWS, {}) == ["ACC-1: marked done, but no test of it passed"]
    assert problems(ROWS, {"ACC-1": [passed()]}) == []


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_a_done_row_suffers_no_test_that_did_not_pass(outcome):
    found = {"ACC-1": [passed(), Result("u", outcome)]}
    assert problems(ROWS, found) == ["ACC-1: marked done, but a test of it did not pass"]


def test_a_row_in_work_may_have_failing_tests():
    assert problems({"ACC-2": "part"}, {"ACC-2": [Result("u", "failed")]}) == []


def test_an_unknown_row_is_a_problem():
    found = {"ACC-1": [passed()], "ACC-9": [passed()]}
    assert problems(ROWS, found) == ["ACC-9: tests name it, docs/requirements.md does not"]


def test_the_report_shows_row_tests_and_results():
    text = report(ROWS, {"ACC-1": [Result("tests.a.good", "passed")]})
    assert text.splitlines()[0].split() == ["ACC-1", "done", "1", "tests"]
    assert text.splitlines()[1].split() == ["passed", "tests.a.good"]


def test_without_results_of_a_run_it_fails(tmp_path, capsys):
    assert main(tmp_path / "junit.xml") == 1
    assert "make test" in capsys.readouterr().err


def test_pytest_refuses_a_marker_that_no_row_has(pytester_like):
    done = pytester_like('@pytest.mark.requirement("ACC-999")\ndef test_x(): pass\n')
    assert done.returncode != 0
    assert "no requirement 'ACC-999'" in done.stdout + done.stderr


def test_pytest_tells_the_requirement_to_junit(pytester_like, tmp_path):
    done = pytester_like('@pytest.mark.requirement("ACC-1", "ACC-2")\ndef test_x(): pass\n')
    assert done.returncode == 0, done.stdout
    assert set(results(tmp_path / "junit.xml")) == {"ACC-1", "ACC-2"}


def test_a_skip_fails_the_run_where_everything_is_required(pytester_like):
    text = "def test_x(): pytest.skip('not here')\n"
    assert pytester_like(text).returncode == 0
    assert pytester_like(text, FAREBOX_REQUIRE_ALL="1").returncode == 1


@pytest.fixture
def pytester_like(tmp_path):
    """Run one test file under the project's own conftest, in a pytest of its own."""

    def run(text, **env):
        file = tmp_path / "test_one.py"
        file.write_text("import pytest\n" + text)
        words = ["-p", "tests.conftest", "-p", "no:xdist", f"--junitxml={tmp_path / 'junit.xml'}"]
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "--rootdir",
                str(tmp_path),
                "-c",
                "pyproject.toml",
                *words,
                str(file),
            ],
            cwd=TABLE.parents[1],
            env={**os.environ, "FAREBOX_REQUIRE_ALL": "", **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
