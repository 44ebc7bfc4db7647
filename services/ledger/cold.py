"""What a batch changes in the cold tables: lots of credits and what claims took of them, refunds.

Few commands need them, so they are read for those only and never kept in memory. Claims change
rows that need not have been read: a settlement that pays what is due adds to a row unseen.
"""

from collections.abc import Mapping
from typing import NamedTuple

from services.ledger.domain.clawbacks import CORRECTIONS
from services.ledger.domain.state import NO_LOTS, Event, Lot, State

CHANGING = frozenset({"CreditsGranted", "CreditsRefunded", "CreditsClawedBack", "ClawbackReversed"})
"""The events that change a lot."""

Lots = Mapping[str, Mapping[int, Lot]]
"""By account and grant number."""


class Change(NamedTuple):
    """What a batch adds to a lot; a cause without a target does not stand any more."""

    clawed: int = 0
    shortfall: int = 0
    causes: tuple[tuple[str, int | None], ...] = ()

    def of(self, lot: Lot) -> Lot:
        """The lot after this change."""
        causes = dict(lot.causes)
        for cause, target in self.causes:
            if target is None:
                causes.pop(cause, None)
            else:
                causes[cause] = target
        return lot._replace(
            clawed=lot.clawed + self.clawed,
            shortfall=lot.shortfall + self.shortfall,
            causes=tuple(sorted(causes.items())),
        )


class LotChanges:
    """The lots made in a batch, as they stand at its end, and the changes of older ones."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, int], tuple[Lot, int]] = {}
        """With the position of the event that made it."""
        self.changed: dict[tuple[str, int], Change] = {}

    def follow(self, event: Event, after: State, position: int) -> None:
        """Take in one accepted event. `after` is the state after its command."""
        data, account = event.data, event.account_id
        if event.type == "CreditsGranted":
            no, given = data["grant_no"], (data["source"], data["priority"])
            lot = Lot(no, *given, data["expires_at"], data["payment"], int(data["amount"]))
            self.made[account, no] = lot, position
        elif event.type == "CreditsRefunded":
            if data["child"] is not None:
                no = data["child"]["grant_no"]
                self.made[account, no] = after.lots[no], position
        elif event.type == "CreditsClawedBack":
            if data["cause"] not in CORRECTIONS:
                change = Change(
                    int(data["amount"]),
                    int(data["shortfall"]),
                    ((data["cause"], int(data["target"])),),
                )
                self._change((account, data["grant_no"]), change)
        else:
            lost = int(data["shortfall_cancelled"])
            change = Change(-int(data["amount"]), -lost, ((data["cause"], None),))
            self._change((account, data["grant_no"]), change)

    def _change(self, key: tuple[str, int], change: Change) -> None:
        if key in self.made:
            lot, position = self.made[key]
            self.made[key] = change.of(lot), position
            return
        before = self.changed.get(key, Change())
        self.changed[key] = Change(
            before.clawed + change.clawed,
            before.shortfall + change.shortfall,
            tuple({**dict(before.causes), **dict(change.causes)}.items()),
        )

    def lots(self, account_id: str, loaded: Lots) -> dict[int, Lot]:
        """The account's lots that were read or made, as the batch has left them so far."""
        lots = {
            no: self.changed.get((account_id, no), Change()).of(lot)
            for no, lot in loaded.get(account_id, NO_LOTS).items()
        }
        for (account, no), (lot, _) in self.made.items():
            if account == account_id:
                lots[no] = lot
        return lots
