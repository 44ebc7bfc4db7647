"""What the fold of the log knows: accounts, their grants, and open reservations. Nanos."""

from typing import NamedTuple

from libs.events.ids import stream_uuid


class Grant:
    """granted = available + reserved + charged + expired + clawed + moved, at every position.

    Of `clawed`, `claimed` went to claims on the payment; they also wait for `due` and lost
    `shortfall`. `issued` is `granted`, but 0 for a child. `causes`: each claim and its target.
    """

    __slots__ = (
        "available", "causes", "charged", "claimed", "clawed", "due", "expired", "expires_at",
        "granted", "issued", "moved", "no", "payment", "position", "priority", "reserved",
        "shortfall", "source",
    )  # fmt: skip

    def __init__(
        self, no: int, source: str, priority: int, expires_at: str | None, payment: str | None
    ) -> None:
        self.no = no
        self.source = source
        self.priority = priority
        self.expires_at = expires_at
        self.payment = payment
        self.granted = self.available = self.reserved = 0
        self.charged = self.expired = self.clawed = self.moved = 0
        self.issued = self.claimed = self.shortfall = self.due = self.position = 0
        self.causes: dict[str, int] = {}

    @property
    def left_over(self) -> int:
        """What the conservation of this grant does not explain: 0, or the fold found an error."""
        spent = self.charged + self.expired + self.clawed + self.moved
        return self.granted - self.available - self.reserved - spent


class Refunds(NamedTuple):
    """What was given back of one charge: in all, of its margin, and in how many refunds."""

    amount: int
    margin: int
    number: int


class Published:
    """A catalogue: where it was published, from when it is in force, and from when no more."""

    __slots__ = ("effective_from", "position", "withdrawn_from")

    def __init__(self, position: int, effective_from: str) -> None:
        self.position = position
        self.effective_from = effective_from
        self.withdrawn_from: str | None = None

    def covers(self, at: str) -> bool:
        over = self.withdrawn_from is not None and self.withdrawn_from <= at
        return self.effective_from <= at and not over


class Hold:
    """An open reservation: what it holds, in all and of each grant, and the calls under it."""

    __slots__ = ("account_id", "amount", "calls", "ceiling", "expires_at", "of", "position")

    def __init__(self, account_id: str, position: int) -> None:
        self.account_id = account_id
        self.position = position
        self.amount = 0
        self.expires_at = ""
        self.of: dict[int, int] = {}
        self.ceiling: int | None = None
        self.calls: dict[str, tuple[int, str, int | None]] = {}
        """Per call its bound, until when it may run, and its cost once it was detached."""


class Account:
    """Where one account (or the partition's own stream) stands after the events so far."""

    __slots__ = (
        "account_id", "available", "causes", "closed", "freezes", "grants", "head", "held",
        "partition", "plan", "position", "refunds", "reserved", "unit", "uuid", "version",
    )  # fmt: skip

    def __init__(self, account_id: str, partition: int) -> None:
        self.account_id = account_id
        self.uuid = stream_uuid(account_id)
        self.partition = partition
        self.unit: str | None = None
        self.plan: str | None = None
        self.closed = False
        self.freezes: list[str] = []
        self.causes: set[str] = set()
        """The causes that ever claimed something of a payment."""
        self.grants: dict[int, Grant] = {}
        self.refunds: dict[str, Refunds] = {}
        self.available = self.reserved = 0
        self.held = 0
        """What its open reservations hold, counted one by one."""
        self.version = self.position = 0
        self.head = bytes(32)

    @property
    def status(self) -> str:
        if self.closed:
            return "closed"
        return "frozen" if self.freezes else "open"

    @property
    def next_expiry(self) -> str | None:
        """When the next grant with something available expires."""
        due = [g.expires_at for g in self.grants.values() if g.available and g.expires_at]
        return min(due, default=None)

    def claims(self) -> dict[str, tuple[int, int, int]]:
        """Per payment that was claimed: what claims have, the largest target, what was issued."""
        of: dict[str, list[Grant]] = {}
        for grant in self.grants.values():
            if grant.payment is not None:
                of.setdefault(grant.payment, []).append(grant)
        return {
            payment: (
                sum(grant.claimed + grant.shortfall + grant.due for grant in grants),
                max((target for grant in grants for target in grant.causes.values()), default=0),
                sum(grant.issued for grant in grants),
            )
            for payment, grants in of.items()
        }
