"""Which catalogues a partition sells by: a Reserve that names another one is refused (CRD-6)."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from libs.events.commands import PublishCatalogue
from libs.events.times import to_text
from services.ledger.domain.state import Data, Declined, Event, Moment


class Term(NamedTuple):
    """From when a catalogue is in force, and from when no more; both moments of the ledger."""

    effective_from: str
    withdrawn_from: str | None = None

    def covers(self, now: str) -> bool:
        return self.effective_from <= now and not self.is_over(now)

    def is_over(self, now: str) -> bool:
        return self.withdrawn_from is not None and self.withdrawn_from <= now


Terms = Mapping[str, Term]
"""By the hash of the catalogue."""
NONE: Terms = MappingProxyType({})


class InForce(NamedTuple):
    """The hashes in force at a moment, since when, and when that changes; None: not by itself."""

    hashes: frozenset[str]
    since: str
    until: str | None

    def holds(self, now: str) -> bool:
        """Whether it is still so at a moment, which may be an earlier one: clocks step back."""
        return self.since <= now and (self.until is None or now < self.until)


NOTHING_IN_FORCE = InForce(frozenset(), "", None)


def in_force(terms: Terms, now: str) -> InForce:
    hashes = frozenset(name for name, term in terms.items() if term.covers(now))
    turns = list(_turns(terms.values()))
    since = max((at for at in turns if at <= now), default="")
    return InForce(hashes, since, min((at for at in turns if at > now), default=None))


def _turns(terms: Iterable[Term]) -> Iterable[str]:
    for term in terms:
        yield term.effective_from
        if term.withdrawn_from is not None:
            yield term.withdrawn_from


def decide_publish(terms: Terms, command: PublishCatalogue, now: Moment) -> Event | Declined:
    """Make a catalogue known for good; it may end others as soon as it is in force itself."""
    data = command.data
    if any(name not in terms for name in data.withdraws):
        return Declined("unknown_catalogue", parameter="withdraws")
    published = {
        "hash": data.hash,
        "effective_from": to_text(data.effective_from),
        "withdraws": list(data.withdraws),
    }
    return Event("CataloguePublished", published, command.account_id, now.text)


def evolve_published(terms: Terms, data: Data, occurred_at: str) -> dict[str, Term]:
    """Nothing is in force, or ended, before it was published."""
    at = max(data["effective_from"], occurred_at)
    after = dict(terms)
    for name in data["withdraws"]:
        ended = after[name].withdrawn_from
        after[name] = after[name]._replace(withdrawn_from=at if ended is None else min(ended, at))
    after[data["hash"]] = Term(at)
    return after
