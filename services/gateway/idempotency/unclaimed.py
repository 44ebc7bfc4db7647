"""A request without an Idempotency-Key: it runs as often as it is asked for."""

from collections.abc import Mapping
from typing import Final

from services.gateway.exchange import Exchange
from services.gateway.hold import Hold
from services.gateway.orders import Closed
from services.gateway.pump import Job
from services.gateway.reservations import Reservations


class Unclaimed:
    """Lets every job run, and remembers none."""

    def tagged(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        return tags

    def begin(self) -> None:
        """Nothing to remember."""

    async def hold(self, reservations: Reservations, job: Job, exchange: Exchange) -> Hold:
        del exchange
        return await reservations.hold(job.order, amount=job.amount, at_least=job.at_least)

    def close(self, exchange: Exchange, closed: Closed, *, final: bool, whole: bool) -> None:
        """Nothing to remember."""

    def end(self) -> None:
        """Nothing to forget."""


UNCLAIMED: Final = Unclaimed()
