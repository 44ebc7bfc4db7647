"""Keys remembered in memory, and never longer than the events that change them are heard.

An answer of the ledger that was on its way while an event told of a change may be older than that
change; it is not remembered. While events are not heard nothing is remembered at all.
"""

from collections import OrderedDict, defaultdict

from libs.runtime import metrics
from services.gateway.keys import KeyInfo


class KeyCache:
    """At most `most` keys; the one not used for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_hash: OrderedDict[str, KeyInfo] = OrderedDict()  # the oldest at no cost
        self._by_account: defaultdict[str, set[str]] = defaultdict(set)
        self._seen: dict[int, int] = {}
        self._listening = False
        self._era = 0
        metrics.gauge("keys_remembered", "API keys in memory.", read=lambda: len(self._by_hash))

    # What the directory asks.

    def get(self, hashed: str) -> KeyInfo | None:
        info = self._by_hash.get(hashed)
        if info is not None:
            self._by_hash.move_to_end(hashed)
        return info

    def ask(self) -> int:
        return self._era

    def put(self, hashed: str, partition: int, info: KeyInfo, asked: int) -> None:
        """Remember an answer, unless something may have changed since it was true."""
        if not self._listening or asked != self._era or self._most < 1:
            return
        if info.position < self._seen.get(partition, 0):
            return
        self._by_hash[hashed] = info
        self._by_hash.move_to_end(hashed)
        self._by_account[info.account_id].add(hashed)
        while len(self._by_hash) > self._most:
            self._forget(next(iter(self._by_hash)))

    # What the feed tells.

    def listen(self) -> None:
        """From now on every change is heard."""
        self._listening = True
        self._era += 1

    def deafen(self) -> None:
        """Changes may be missed from now on: forget everything."""
        if self._listening:
            self._listening = False
            self._era += 1
            self._by_hash.clear()
            self._by_account.clear()
            self._seen.clear()

    def changed(self, partition: int, position: int, account_id: str) -> None:
        """Something about an account's keys changed at this position."""
        self._seen[partition] = max(position, self._seen.get(partition, 0))
        for hashed in list(self._by_account.get(account_id, ())):
            self._forget(hashed)

    def _forget(self, hashed: str) -> None:
        info = self._by_hash.pop(hashed)
        of_account = self._by_account[info.account_id]
        of_account.discard(hashed)
        if not of_account:
            del self._by_account[info.account_id]
