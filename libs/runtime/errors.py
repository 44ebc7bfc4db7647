"""The errors of this package, raised at its border.

RuntimeFailure
├── BrokerUnavailable        no NATS connection could be made at start
├── PermissionDenied         NATS refuses a subject to this process's user
├── ConnectionLost           the connection broke while a request waited
├── LedgerUnavailable        no final reply within the caller's time
├── QueryFailed              a query was answered with an error code
├── InstallationMismatch     the installation has another number of partitions
├── DatabaseUnavailable      no connection to PostgreSQL could be made at start
├── WrongLastSequence        the stream's end is not where the batch was to go
├── PublishUnknown           whether the batch was stored is unknown
└── PullFailure              a consumer cannot go on from its stored position
"""


class RuntimeFailure(Exception):
    """Base of everything this package raises on purpose."""


class BrokerUnavailable(RuntimeFailure):
    """No usable NATS connection could be made at start: no server there, or it refuses the user."""


class PermissionDenied(RuntimeFailure):
    """NATS does not let this process's user use the subject; a mistake of deployment.

    Retrying cannot help: give the user the right, or send from the process that has it.
    """

    def __init__(self, action: str, subject: str) -> None:
        super().__init__(f"NATS refuses {action} to {subject}")
        self.action = action
        self.subject = subject


class ConnectionLost(RuntimeFailure):
    """The connection broke while a request waited; whether it was carried out is unknown."""


class LedgerUnavailable(RuntimeFailure):
    """No final reply came in the time the caller gave; the command may yet be carried out.

    Repeat it with the same caller id, or undo it with a command that is safe either way.
    """


class QueryFailed(RuntimeFailure):
    """A query was answered, with an error; ``code`` says which, as in ``unknown_account``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class InstallationMismatch(RuntimeFailure):
    """The installation was made with another number of partitions than this process was told."""

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__(
            f"[ledger] partitions = {ours}, but this installation was made with {theirs};"
            " the number is fixed for good: put it back"
        )
        self.ours = ours
        self.theirs = theirs


class DatabaseUnavailable(RuntimeFailure):
    """No connection to PostgreSQL could be made: not configured, not there, or it refuses us."""


class WrongLastSequence(RuntimeFailure):
    """The stream does not end where the batch was to be appended; nothing of it was stored.

    ``actual`` is the stream's last sequence when the server told it.
    """

    def __init__(self, expected: int, actual: int | None) -> None:
        super().__init__(f"stream ends at {actual}, not at {expected}")
        self.expected = expected
        self.actual = actual


class PublishUnknown(RuntimeFailure):
    """Whether the batch was stored is unknown, or the server refused it for another reason.

    Read the stream's last sequence before publishing again. ``err_code`` is JetStream's, if any.
    """

    def __init__(self, reason: str, err_code: int | None = None) -> None:
        super().__init__(reason)
        self.err_code = err_code


class PullFailure(RuntimeFailure):
    """A consumer cannot go on from its stored position; it tries again after its back-off."""
