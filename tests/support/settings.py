from typing import Any, TypeVar

from libs.runtime.settings import Settings
from services.ledger.settings import ReaderSettings
from tests.support.database import Database

S = TypeVar("S", bound=Settings)

READ_YOUR_WRITES_S = 20.0
"""What was done is seen: on a slow machine too an answer waits for its projection."""


def settings_for(kind: type[S], process: str, database: Database, **overrides: Any) -> S:
    """Settings of a process that runs in the test's own loop, with its own credentials.

    Args:
        kind: the service's settings class, for example LedgerSettings.
        process: whose credentials: ledger, reader, gateway, admin, payments, recharge, provision.
        overrides: fields by name; `process_name` is empty unless given, so that two tests never
            write the same run file.
    """
    fields: dict[str, Any] = {
        name.removeprefix("FAREBOX_").lower(): value
        for name, value in database.env_for(process).items()
    }
    if issubclass(kind, ReaderSettings):
        fields["read_your_writes_s"] = READ_YOUR_WRITES_S
    return kind(**{**fields, "process_name": "", **overrides})
