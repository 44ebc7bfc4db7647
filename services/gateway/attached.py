"""Calls that run under a reservation: `farebox-reservation`, and the service key that opened it."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

from starlette.types import Scope

from libs.events.ids import is_id
from libs.runtime.errors import LedgerUnavailable, PermissionDenied, QueryFailed
from services.gateway.errors import NO_RETRY, Refusal, ledger_unavailable
from services.gateway.headers import header
from services.gateway.keys import KeyInfo
from services.gateway.ledger_calls import Ledger, ask

HEADER: Final = b"farebox-reservation"
_MOST: Final = 10_000

UNATTACHED: Final[Mapping[str, str]] = {
    "unknown_reservation": "No reservation of this key has this id.",
    "reservation_expired": "The reservation has expired.",
    "reservation_closed": "The reservation was settled or released.",
    "hold_too_short": "This call may run longer than the reservation is held; extend it first.",
    "attached_ceiling": "This call could cost more than the reservation's attached calls may.",
    "too_many_calls": "The reservation has as many attached calls as it may have.",
}


def not_attached(code: str) -> Refusal:
    status = 404 if code == "unknown_reservation" else 409
    return Refusal(status, code, UNATTACHED[code], headers=NO_RETRY)


class Openers:
    """Which key opened a reservation: it never changes, so the latest are remembered."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._keys: dict[str, tuple[str, str]] = {}

    def remember(self, res: str, key: KeyInfo) -> None:
        self._keys[res] = key.account_id, key.key_id
        if len(self._keys) > _MOST:
            for old in list(islice(self._keys, _MOST // 10)):
                del self._keys[old]

    async def opened(self, res: str, key: KeyInfo) -> bool:
        """Whether this key opened it. Raises LedgerUnavailable, QueryFailed."""
        if res not in self._keys:
            try:
                facts = await ask(self._ledger, "request", key.account_id, res=res)
            except QueryFailed as error:
                if error.code in {"unknown_request", "unknown_account"}:
                    return False
                raise
            if facts["key_id"] != key.key_id:
                return False
            self.remember(res, key)
        return self._keys[res] == (key.account_id, key.key_id)

    async def named(self, scope: Scope, key: KeyInfo) -> str | None:
        """The reservation that a request names, None when it names none.

        Raises:
            Refusal: it is not this key's, or this is no service key.
        """
        given = header(scope["headers"], HEADER)
        if given is None:
            return None
        if key.purpose != "service":
            message = (
                f"This is a key for purpose '{key.purpose}'; a service key opens reservations."
            )
            raise Refusal(403, "scope_missing", message)
        res = given.decode("latin-1")
        try:
            if is_id(res, "req") and await self.opened(res, key):
                return res
        except (LedgerUnavailable, PermissionDenied, QueryFailed) as error:
            raise ledger_unavailable() from error
        raise not_attached("unknown_reservation")
