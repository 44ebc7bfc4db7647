"""Telling every partition which catalogue it sells by, and asking what it was told."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from libs.catalogue import Catalogue
from libs.events.commands import PublishCatalogue, PublishCatalogueData
from libs.events.ids import partition_stream
from services.gateway.ledger_calls import Conflicting, Ledger, carry_out

log = logging.getLogger(__name__)

AT_ONCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""An `effective_from` long past: the ledger takes the moment of the event. Always the same, so
that publishing again is the same command again."""


class Publication(NamedTuple):
    hash: str
    text: str
    effective_from: datetime = AT_ONCE
    withdraws: tuple[str, ...] = ()


async def published(ledger: Ledger, partitions: int) -> list[dict[str, dict[str, Any]]]:
    """What each partition was told so far, by hash."""
    answers = await asyncio.gather(
        *(ledger.query("catalogues", {}, partition=p) for p in range(partitions))
    )
    return [{row["hash"]: row for row in answer["data"]["catalogues"]} for answer in answers]


async def publish(ledger: Ledger, partitions: Sequence[int], what: Publication) -> None:
    """Tell these partitions; what one was told before in the same words changes nothing.

    Raises Conflicting where it was published with another moment or other withdrawals, Problem
    for a withdrawal of what was never published, LedgerUnavailable without an answer.
    """
    for partition in partitions:
        await carry_out(ledger, _command(partition, what))


async def publish_first(ledger: Ledger, partitions: int, catalogue: Catalogue) -> None:
    """Publish the file of this process, if nothing else was ever published.

    What was begun and not ended is ended. Raises LedgerUnavailable or a Problem.
    """
    told = await published(ledger, partitions)
    others = {name for of in told for name in of} - {catalogue.hash}
    missing = [p for p, of in enumerate(told) if catalogue.hash not in of]
    if not missing:
        return
    if others:
        log.warning(
            "catalogue %s of this process's farebox.toml is not published: nothing can be sold by "
            "it before `farebox catalogue publish`", catalogue.hash,
        )  # fmt: skip
        return
    try:
        await publish(ledger, missing, Publication(catalogue.hash, catalogue.text))
    except Conflicting:
        return  # somebody else just published it, for another moment
    log.warning("published catalogue %s, the first of this installation", catalogue.hash)


def _command(partition: int, what: Publication) -> PublishCatalogue:
    caller_id = f"catalogue:{what.hash}:{partition}"
    return PublishCatalogue(
        caller_id=caller_id,
        account_id=partition_stream(partition),
        correlation_id=caller_id,
        data=PublishCatalogueData(
            hash=what.hash,
            effective_from=what.effective_from,
            withdraws=what.withdraws,
            text=what.text,
        ),
    )
