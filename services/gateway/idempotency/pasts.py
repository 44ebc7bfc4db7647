"""What the ledger knows of a try that another gateway made, or this one before it was restarted."""

from dataclasses import dataclass

from libs.events.money import decimal_text
from libs.runtime.errors import LedgerUnavailable, PermissionDenied, QueryFailed
from services.gateway.errors import ledger_unavailable
from services.gateway.idempotency.answers import Answer
from services.gateway.idempotency.naming import TAG, Asked
from services.gateway.ledger_calls import Ledger, ask


@dataclass(frozen=True, slots=True)
class Past(Asked):
    """A reservation with the id of a try: `open`, `settled`, `released` or `expired`."""

    res: str
    state: str
    status: int | None = None
    charge: int = 0

    def answer(self, unit: str) -> Answer:
        """What can be told of it without the answer itself."""
        charged = decimal_text(self.charge, unit)
        return Answer(self.res, self.status, charged, None, self.state)


async def look_up(ledger: Ledger, account_id: str, res: str) -> Past:
    """What became of a reservation that exists; raises Refusal when the ledger does not say."""
    try:
        facts = await ask(ledger, "request", account_id, res=res)
    except QueryFailed as error:
        if error.code in {"unknown_request", "unavailable"}:
            return Past(None, None, res, "open")  # so new that it has no receipt yet
        raise ledger_unavailable() from error
    except (LedgerUnavailable, PermissionDenied) as error:
        raise ledger_unavailable() from error
    return Past(
        facts["key_id"],
        (facts["tags"] or {}).get(TAG),
        res,
        str(facts["state"]),
        facts["status"],
        int(facts["charge"] or 0),
    )
