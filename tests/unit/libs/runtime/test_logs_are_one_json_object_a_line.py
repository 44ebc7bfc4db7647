import json
import logging
import subprocess
import sys

import pytest

from libs.runtime.logs import JsonFormatter, setup_logging


def record(**kwargs):
    fields = {"name": "a.b", "levelno": logging.WARNING, "msg": "saw %s", "args": ("it",), **kwargs}
    return logging.makeLogRecord({"levelname": "WARNING", **fields})


def test_a_record_has_time_level_process_logger_and_message():
    line = JsonFormatter("ledger").format(record())
    entry = json.loads(line)
    assert "\n" not in line
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "warning",
        "process": "ledger",
        "logger": "a.b",
        "message": "saw it",
    }


def test_extra_fields_stand_beside_and_never_replace_the_usual_ones():
    entry = json.loads(JsonFormatter("p").format(record(position=7, level="mine", weird={1, 2})))
    assert entry["position"] == 7
    assert entry["level"] == "warning"
    assert entry["weird"] == "{1, 2}"


def test_an_error_keeps_its_traceback_on_the_one_line():
    try:
        raise RuntimeError("broke\nhere")
    except RuntimeError:
        line = JsonFormatter("p").format(record(exc_info=sys.exc_info()))
    assert "\n" not in line
    assert "RuntimeError: broke\nhere" in json.loads(line)["error"]


def test_logging_goes_to_standard_error_at_its_level():
    program = (
        "import logging; from libs.runtime.logs import setup_logging; "
        "setup_logging('warning', 'x'); logging.getLogger('q').info('no'); "
        "logging.getLogger('q').error('yes')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["yes"]


def test_an_unknown_level_is_refused():
    handlers = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    try:
        with pytest.raises(ValueError):
            setup_logging("loud", "x")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
