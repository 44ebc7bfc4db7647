from typing import Final, NamedTuple

from services.ledger.answers import Recorded
from services.ledger.cold import Lots
from services.ledger.command_key import CommandKey
from services.ledger.domain.state import Past
from services.ledger.store import CommandRow


class Loaded(NamedTuple):
    """What the load step found in the database for a batch."""

    commands: dict[CommandKey, CommandRow]
    events: dict[int, Recorded]
    pasts: dict[tuple[str, str], Past]
    lots: Lots
    owners: dict[str, str]
    """Of ids that are derived: the account that opened a reservation by it."""


NOTHING: Final = Loaded({}, {}, {}, {}, {})
