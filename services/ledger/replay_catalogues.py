"""The fold of the catalogues that a partition sells by."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from services.ledger.replay_state import Account, Published

if TYPE_CHECKING:
    from services.ledger.replay import Fold

Data = Mapping[str, Any]


def published(fold: "Fold", _account: Account, event: Data, data: Data) -> None:
    if data["hash"] in fold.catalogues:
        fold.found("data.hash", data["hash"], "a catalogue that was never published")
    at = max(data["effective_from"], event["occurred_at"])
    for name in data["withdraws"]:
        if name not in fold.catalogues:
            fold.found("data.withdraws", name, "a catalogue that was published")
            continue
        sold = fold.catalogues[name]
        sold.withdrawn_from = min(at, sold.withdrawn_from or at)
    fold.catalogues[data["hash"]] = Published(event["position"], at)


def refuse_unsold(fold: "Fold", event: Data, data: Data) -> None:
    """A hold names a catalogue in force. Before the first was published any was taken."""
    sold = fold.catalogues.get(data["catalogue"])
    if fold.catalogues and not (sold and sold.covers(event["occurred_at"])):
        fold.found("data.catalogue", data["catalogue"], "a catalogue in force")
