"""The rates of accounts in this process's memory."""

from collections import OrderedDict
from itertools import islice
from typing import Final

from libs.catalogue import Limits
from services.gateway.limits.rate import Standing, fits, forgiven, standing

_SWEPT: Final = 2


class Buckets:
    """One debt for each account that called lately; what is forgiven is forgotten."""

    def __init__(self) -> None:
        # In order of use, so that what may be forgotten stands at the front.
        self._debts: OrderedDict[str, tuple[Limits, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._debts)

    def take(self, account_id: str, limits: Limits, now_ms: int) -> Standing:
        """Count one request if it is allowed."""
        debt = self._debt(account_id, limits, now_ms)
        allowed = fits(limits, debt)
        if allowed:
            self._note(account_id, (limits, debt + limits.per_ms, now_ms))
            return standing(limits, debt + limits.per_ms, allowed=True)
        if now_ms < self._debts[account_id][2]:
            self._note(account_id, (limits, debt, now_ms))  # else nothing would ever be forgiven
        return standing(limits, debt, allowed=False)

    def _note(self, account_id: str, owed: tuple[Limits, int, int]) -> None:
        if self._debts.pop(account_id, None) is None:
            self._sweep(owed[2])
        self._debts[account_id] = owed

    def look(self, account_id: str, limits: Limits, now_ms: int) -> Standing:
        """How the account stands, without counting anything."""
        return standing(limits, self._debt(account_id, limits, now_ms), allowed=True)

    def _debt(self, account_id: str, limits: Limits, now_ms: int) -> int:
        known = self._debts.get(account_id)
        if known is None or (known[0] is not limits and known[0] != limits):
            return 0  # unknown, or of a plan it no longer has
        return forgiven(limits, known[1], now_ms - known[2])

    def _sweep(self, now_ms: int) -> None:
        """Forget two for each that is added: memory holds those that called within their `per`."""
        for oldest in list(islice(self._debts, _SWEPT)):
            limits, debt, at_ms = self._debts[oldest]
            if forgiven(limits, debt, now_ms - at_ms):
                return
            del self._debts[oldest]
