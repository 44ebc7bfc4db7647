"""What must hold of every log, whoever wrote it: written once, used by simulation, tests and audit.

The fold of replay compares what each event claims with the postings; here stands what no single
event can show: the chain, a reservation's one life, caps over many holds, the fee ledger, and
that grants and holds add up to the balances. A grant is conserved as the fold keeps it: every
event moves between its parts, so what can go wrong is a part below zero, or a sum.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from libs.events.chain import GENESIS
from libs.events.upcasters import newest
from services.ledger.lives import LIVES, Lives
from services.ledger.replay import NEVER_NEGATIVE, Fold
from services.ledger.replay_state import Account

Body = dict[str, Any]
"""An event's body, parsed."""

INVARIANTS: Final[Mapping[str, str]] = {
    "log_intact": "positions, versions and times go on without a gap, hashes and links fit",
    "conservation": "postings sum to zero; balances, grants and holds follow from the events",
    "no_negative": "no balance and no part of a grant is below zero",
    "reservations_end_once": "a hold is opened once, ends once, and holds add up to reserved",
    "charges_bounded": "a charge is what hold and balance gave, a refund at most the charge",
    "caps": "no hold exceeds the caps of its key or the limits of its account",
    "fees": "a fee accrues once, is given back once, and the fee ledger has just these rows",
    "tables_equal_log": "balances, keys, holds, grants, refunds and commands are the log's",
    "projections_equal_replay": "statement, receipts, grants, use and fees are what replay makes",
    "no_overdue_reservation": "no hold is open long after its deadline",
}
"""What the audit exports, each by its name."""

CLOSED_BY_NOW: Final = "closed by now"

_BY_TABLE: Final[Mapping[str, str]] = {
    "ledger.entries": "projections_equal_replay",
    "ledger.requests": "projections_equal_replay",
    "ledger.grants": "projections_equal_replay",
    "ledger.usage_daily": "projections_equal_replay",
    "ledger.fees": "projections_equal_replay",
    "ledger.projection_positions": "projections_equal_replay",
    "ledger.fee_entries": "fees",
}
_BY_COLUMN: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "account_id", "body", "body.occurred_at", "body.prev", "hash", "partition", "position",
            "type", "version", "incarnations never fall", "positions are contiguous",
            "the chain is whole", "time never runs backwards", "versions are contiguous",
        ),
        "log_intact",
    ),
    **dict.fromkeys(
        (
            "data.res", "a reservation ends once", "a reservation is opened first, by its account",
            "a reservation outlasts its calls", "data.catalogue", "data.call_id", "data.until",
            "open reservations add up to reserved",
        ),
        "reservations_end_once",
    ),
    **dict.fromkeys(
        (
            "a charge is what hold and balance gave", "a late charge is within the hold",
            "attached calls stay within the ceiling", "refunds stay within the charge",
        ),
        "charges_bounded",
    ),
    **dict.fromkeys((f"the cap of a {name} holds" for name in ("total", "day", "month")), "caps"),
    "a fee accrues once": "fees",
    "a fee is given back once": "fees",
}  # fmt: skip


def invariant_of(table: str, column: str, expected: object) -> str:
    """Which of `INVARIANTS` does not hold when this differs."""
    if expected == NEVER_NEGATIVE:
        return "no_negative"
    if expected == CLOSED_BY_NOW:
        return "no_overdue_reservation"
    if table in {"ledger.events", "postings"}:
        return _BY_COLUMN.get(column, "conservation")
    return _BY_TABLE.get(table, "tables_equal_log")


class Broken(NamedTuple):
    """An invariant that does not hold: its name, the position that shows it, and the numbers.

    Position 0: the sums after the last event, of an account or (in its place) of a unit.
    """

    invariant: str
    position: int
    account_id: str
    found: object
    expected: object


class Invariants:
    """Takes the events of one partition in the order of the log; tells what does not hold.

    `forget` keeps memory small on a long log, see `Lives`.
    """

    def __init__(self, tell: Callable[[Broken], None], *, forget: bool = False) -> None:
        self.fold = Fold(self._found)
        self.lives = Lives(self._found, self.fold.keys, forget=forget)
        self._tell = tell
        self._position = 0
        self._account_id = ""

    def apply(self, account: Account, body: Body) -> None:
        """Check one event, in its newest form, against everything of its account before it.

        KeyError, TypeError or ValueError: its data is no such event.
        """
        self._position, self._account_id = body["position"], account.account_id
        self.fold.apply(account, body)
        kind = body["type"]
        if kind in LIVES:
            self.lives.apply(account, kind, body["data"], body["occurred_at"])
        elif kind == "SpendLimitsSet":
            self.lives.limit(account.account_id, body["data"])

    def finish(self) -> None:
        """Compare the sums of the whole log: nothing was made and nothing was lost."""
        self._position = 0
        held: dict[tuple[str, str], int] = {}
        for account in self.fold.accounts.values():
            self._account_id, unit = account.account_id, account.unit or ""
            grants = account.grants.values()
            for name in ("available", "reserved"):
                total, of_grants = getattr(account, name), sum(getattr(g, name) for g in grants)
                held[unit, name] = held.get((unit, name), 0) + total
                if of_grants != total:
                    self._found(f"grants add up to {name}", of_grants, total)
        books = self.fold.books
        for unit in {unit for unit, _ in books}:
            self._account_id = unit
            amount = sum(n for (of, _), n in books.items() if of == unit)
            if amount:
                self._found("books sum to zero", amount, 0)
        for (unit, name), total in held.items():
            self._account_id = unit
            if books.get((unit, name), 0) != total:
                self._found(f"books add up to {name}", books.get((unit, name), 0), total)

    def _found(self, invariant: str, found: object, expected: object) -> None:
        self._tell(Broken(invariant, self._position, self._account_id, found, expected))


class WholeLog:
    """The log of a partition as parsed bodies, in the form in which they were stored."""

    def __init__(self) -> None:
        self.broken: list[Broken] = []
        self.invariants = Invariants(self.broken.append)
        self._position = 0
        self._at = ""
        self._incarnation = 0

    @property
    def fold(self) -> Fold:
        return self.invariants.fold

    def apply(self, body: Body) -> None:
        """Check one event against everything before it."""
        account = self.fold.account(body["account_id"], body["partition"])
        self._follow(body)
        self._link(account, body)
        account.head = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
        self.invariants.apply(account, newest(body))
        account.version, account.position = body["version"], body["position"]

    def finish(self) -> list[Broken]:
        """Compare the sums of the whole log, and give everything that does not hold."""
        self.invariants.finish()
        return self.broken

    def _follow(self, body: Body) -> None:
        """The log of a partition: no gap, no step back."""
        position, at, incarnation = body["position"], body["occurred_at"], body["incarnation"]
        expected, self._position = self._position + 1, position
        self._hold("positions are contiguous", position == expected, body, position, expected)
        self._hold("time never runs backwards", at >= self._at, body, at, self._at)
        rising = incarnation >= self._incarnation
        self._hold("incarnations never fall", rising, body, incarnation, self._incarnation)
        self._at, self._incarnation = at, incarnation

    def _link(self, account: Account, body: Body) -> None:
        """The chain of an account: each body names the one before it."""
        found, version = body["version"], account.version + 1
        prev = account.head.hex() if account.version else GENESIS
        self._hold("versions are contiguous", found == version, body, found, version)
        self._hold("the chain is whole", body["prev"] == prev, body, body["prev"], prev)

    def _hold(
        self, invariant: str, holds: bool, body: Body, found: object, expected: object
    ) -> None:
        if not holds:
            place = body["position"], body["account_id"]
            self.broken.append(Broken(invariant, *place, found, expected))


def check(bodies: Iterable[Body]) -> list[Broken]:
    """Everything that does not hold of these events: a partition's log from its beginning."""
    log = WholeLog()
    for body in bodies:
        log.apply(body)
    return log.finish()
