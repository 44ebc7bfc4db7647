"""Checks the events of one partition, one after the other, and folds them."""

import hashlib
from typing import Any

import asyncpg

from libs.events.codec import load_event
from libs.events.events import TYPE_CODES
from libs.events.ids import partition_of
from services.ledger.checks.report import Differences
from services.ledger.invariants import Broken, Invariants
from services.ledger.replay import Fold
from services.ledger.replay_state import Account

TABLE = "ledger.events"

Row = asyncpg.Record
"""position, account_id, version, type, body, hash."""


class LogCheck:
    """Every row is where it should be, is what was hashed, and follows its predecessor.

    A link is checked against the stored hash of the event before, so one changed body is one
    difference: its hash. A body changed together with its hash breaks the next link, or the head
    in the account's row.
    """

    def __init__(self, partition: int, partitions: int, differences: Differences) -> None:
        self.partition = partition
        self.position = 0
        self.invariants = Invariants(self._broken, forget=True)
        self._partitions = partitions
        self._differences = differences
        self._occurred_at = ""

    @property
    def fold(self) -> Fold:
        return self.invariants.fold

    def check(self, row: Row) -> Any:
        """Check one row and fold it. Its body, None when that is unreadable."""
        position, stream, version, kind, body, stored_hash = row
        self._follow(position)
        digest = hashlib.sha256(body).digest()
        if digest != stored_hash:
            self._found("hash", stored_hash, digest)
        try:
            event = load_event(body)
            account = self._account(event, stream)
            self._compare(event, account, row)
            self.invariants.apply(account, event)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            self._found("body", f"{type(error).__name__}: {error}", "an event of the catalogue")
            return self._skip(stream, version, position, stored_hash)
        account.version = event["version"]
        account.position = position
        account.head = stored_hash
        if kind != TYPE_CODES.get(event["type"]):
            self._found("type", kind, TYPE_CODES.get(event["type"]))
        return event

    def _follow(self, position: int) -> None:
        expected = self.position + 1
        self.position = position
        if position != expected:
            missing = f"{self.partition}:{expected}"
            self._differences.add(TABLE, missing, "position", f"next is {position}", expected)

    def _account(self, event: dict[str, Any], stream: Any) -> Account:
        account_id = event["account_id"]
        known = self.fold.accounts.get(account_id)
        if known is None:
            if partition_of(account_id, self._partitions) != self.partition:
                self._found("account_id", account_id, f"one of partition {self.partition}")
            known = self.fold.account(account_id, self.partition)
        if stream != known.uuid:
            self._found("account_id", stream, known.uuid)
        return known

    def _compare(self, event: dict[str, Any], account: Account, row: Row) -> None:
        """What body and columns say of each other, and of the event before."""
        position, version = row[0], row[2]
        if event["position"] != position:
            self._found("position", position, event["position"])
        if event["partition"] != self.partition:
            self._found("partition", self.partition, event["partition"])
        if event["version"] != version:
            self._found("version", version, event["version"])
        if version != account.version + 1:
            self._found("version", version, account.version + 1)
        if event["prev"] != account.head.hex():
            self._found("body.prev", event["prev"], account.head)
        if event["occurred_at"] < self._occurred_at:
            self._found("body.occurred_at", event["occurred_at"], f"≥ {self._occurred_at}")
        self._occurred_at = event["occurred_at"]

    def _skip(self, stream: Any, version: int, position: int, stored_hash: bytes) -> None:
        """Step over an unreadable body, so that the next event of its account is judged fairly."""
        for account in self.fold.accounts.values():
            if account.uuid == stream:
                account.version, account.position, account.head = version, position, stored_hash

    def _broken(self, broken: Broken) -> None:
        if broken.position:
            self._found(broken.invariant, broken.found, broken.expected)
        else:
            self._differences.add("postings", broken.account_id, *broken[:1], *broken[3:])

    def _found(self, column: str, stored: object, computed: object) -> None:
        row = f"{self.partition}:{self.position}"
        self._differences.add(TABLE, row, column, stored, computed)
