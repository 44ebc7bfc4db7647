"""Whether the ledger sells by this gateway's catalogue; while it does not, nothing can be paid."""

import asyncio
import logging
from typing import Final

from libs.runtime import metrics
from libs.runtime.errors import LedgerUnavailable, PermissionDenied, QueryFailed
from services.gateway.ledger_calls import Ledger
from services.gateway.publishing import published

log = logging.getLogger(__name__)

_AGAIN_S: Final = 2.0
_unsold: Final = metrics.counter(
    "catalogue_refused_total", "Holds refused because this gateway's catalogue is not in force."
)


class Selling:
    """Asked once at the start, for the log, and after a refusal until it is in force again.

    A worker whose first hold was not refused yet is ready: it must be up to be told of it.
    """

    def __init__(self, ledger: Ledger, catalogue: str, partitions: int) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._partitions = partitions
        self._doubt = asyncio.Event()
        self._doubt.set()
        self._unsold = False

    def problem(self) -> str | None:
        if not self._unsold:
            return None
        return (
            f"catalogue {self._catalogue[:12]} of its farebox.toml is not in force: run `farebox "
            "catalogue publish`, or start it with the file that is"
        )

    def refused(self) -> None:
        """The ledger does not know the catalogue, or no more."""
        _unsold.inc()
        self._unsold = True
        self._doubt.set()

    async def run(self) -> None:
        while True:
            await self._doubt.wait()
            try:
                told = await published(self._ledger, self._partitions)
            except (LedgerUnavailable, PermissionDenied, QueryFailed) as error:
                log.warning("cannot ask which catalogues are in force: %s", error)
            else:
                if all(of.get(self._catalogue, _NONE)["in_force"] for of in told):
                    self._unsold = False
                    self._doubt.clear()
                else:
                    log.error("catalogue %s is not in force: nothing is sold", self._catalogue)
            await asyncio.sleep(_AGAIN_S)


_NONE: Final = {"in_force": False}
