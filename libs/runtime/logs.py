"""Logging as one JSON object a line on standard error."""

import logging
import os
import sys
from datetime import UTC, datetime

import orjson

from libs.runtime.redaction import Redaction, secrets_in

_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


class JsonFormatter(logging.Formatter):
    """A record as one JSON object; whatever ``extra`` brought stands beside the usual fields.

    Secrets are hidden in all of it, also in what an error quotes.
    """

    def __init__(self, process_name: str, redact: Redaction | None = None) -> None:
        super().__init__()
        self._process_name = process_name
        self._redact = redact or Redaction()

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process_name,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {k: v for k, v in record.__dict__.items() if k not in _PLAIN and k not in entry}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        line = orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        return self._redact(line)


def setup_logging(level: str, process_name: str) -> None:
    """Send everything of ``level`` and above to standard error as JSON lines.

    Raises:
        ValueError: ``level`` is not the name of a logging level.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process_name, Redaction(secrets_in(os.environ))))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "httpx", "httpcore", "alembic.runtime.plugins"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
