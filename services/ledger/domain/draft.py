from collections.abc import Callable

from services.ledger.domain.state import Account, Data, Event, Moment, State

Evolve = Callable[[State, Event], State]


class Draft:
    """The events a command would write so far, and the state after them.

    Local to one decision: a refusal drops it, so nothing of a declined command remains.
    """

    __slots__ = ("_evolve", "account_id", "events", "now", "state")

    def __init__(self, state: State, account_id: str, now: Moment, evolve: Evolve) -> None:
        self._evolve = evolve
        self.account_id = account_id
        self.state = state
        self.now = now
        self.events: list[Event] = []

    @property
    def account(self) -> Account:
        account = self.state.account
        if account is None:
            raise LookupError("no account in this draft")
        return account

    def add(self, kind: str, data: Data) -> None:
        """Add an event that moves no money."""
        event = Event(kind, data, self.account_id, self.now.text)
        self.state = self._evolve(self.state, event)
        self.events.append(event)

    def move(self, kind: str, data: Data) -> None:
        """Add a money event; it carries the balances after it."""
        event = Event(kind, data, self.account_id, self.now.text)
        self.become(kind, data, self._evolve(self.state, event))

    def become(self, kind: str, data: Data, state: State) -> None:
        """Add a money event of which the state after it is known: what `evolve` would make."""
        account = state.account
        if account is None:
            raise LookupError("no account in this draft")
        self.state = state
        data["available"] = str(account.available)
        data["reserved"] = str(account.reserved)
        self.events.append(Event(kind, data, self.account_id, self.now.text))
