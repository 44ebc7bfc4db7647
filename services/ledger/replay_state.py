"""What the fold of the log knows: accounts, their grants, and open reservations. Nanos."""

from libs.events.ids import stream_uuid


class Grant:
    """granted = available + reserved + charged + expired + clawed + moved, at every position."""

    __slots__ = (
        "available", "charged", "clawed", "expired", "expires_at", "granted", "moved", "no",
        "payment", "priority", "reserved", "source",
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

    @property
    def left_over(self) -> int:
        """What the conservation of this grant does not explain: 0, or the fold found an error."""
        spent = self.charged + self.expired + self.clawed + self.moved
        return self.granted - self.available - self.reserved - spent


class Hold:
    """An open reservation: what it holds, in all and of each grant."""

    __slots__ = ("account_id", "amount", "expires_at", "of", "position")

    def __init__(self, account_id: str, position: int) -> None:
        self.account_id = account_id
        self.position = position
        self.amount = 0
        self.expires_at = ""
        self.of: dict[int, int] = {}


class Account:
    """Where one account (or the partition's own stream) stands after the events so far."""

    __slots__ = (
        "account_id", "available", "closed", "freezes", "grants", "head", "partition", "plan",
        "position", "reserved", "unit", "uuid", "version",
    )  # fmt: skip

    def __init__(self, account_id: str, partition: int) -> None:
        self.account_id = account_id
        self.uuid = stream_uuid(account_id)
        self.partition = partition
        self.unit: str | None = None
        self.plan: str | None = None
        self.closed = False
        self.freezes: list[str] = []
        self.grants: dict[int, Grant] = {}
        self.available = self.reserved = 0
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
