"""What one request holds in the ledger; it can grow while the request runs."""

from typing import Protocol

from services.gateway.orders import Order


class Extender(Protocol):
    """The part of reservations that a hold needs."""

    async def extend(self, hold: "Hold", total: int, used: int) -> bool: ...


class Hold:
    """Credits held for one request, in nanos.

    `amount` is held now, `available` was left to the account when it was last told (None: the hold
    cannot grow), and `most` is what the request may cost at the most.
    """

    def __init__(
        self, order: Order, extender: Extender, amount: int, available: int | None
    ) -> None:
        self.order = order
        self.amount = self.most = amount
        self.available = available
        self.extensions = 0
        """How many were asked for: each has an id of its own."""
        self._extender = extender

    async def extend(self, total: int, used: int) -> bool:
        """Hold `total` in all; `used` of it is used so far. Whether it is held.

        `available` is told anew also where the balance is too small.

        Raises:
            LedgerUnavailable: no answer; it may be held or not.
        """
        self.extensions += 1
        return await self._extender.extend(self, total, used)
