"""Command bytes for load: made by joining text, proven equal to the contract by its decoder."""

import random
import time
from datetime import UTC, datetime, timedelta

from libs.events.codec import Malformed, decode_command
from libs.events.times import to_text

CATALOGUE = "0" * 64
_VARIANT = 0x2 << 62


def fresh_id() -> str:
    """32 hex digits of a uuid7: time-ordered, as callers make them."""
    millis = time.time_ns() // 1_000_000
    return f"{millis:012x}7{random.getrandbits(12):03x}{_VARIANT | random.getrandbits(62):016x}"


class Reserves:
    """Makes Reserve commands of one nano for one account each."""

    def __init__(self, amount: int = 1, hold_s: int = 3600) -> None:
        deadline = to_text(datetime.now(UTC) + timedelta(hours=12))
        self._middle = (
            f'","causation":null,"correlation_id":"bench","deadline":"{deadline}",'
            '"kind":"Reserve","kind_version":1,"traceparent":null,"data":{"amount":"%d",'
            '"at_deadline":"release","at_least":"%d","attached_cost_ceiling":null,'
            '"catalogue":"%s","fee":null,"hold_ms":%d,"operation":"swift-1","surface":"bench",'
            '"tags":{},"key_id":"' % (amount, amount, CATALOGUE, hold_s * 1000)
        )
        first = decode_command(self.make(self.head("0" * 32, "0" * 32)))
        if isinstance(first, Malformed):
            raise TypeError(first.error)

    def head(self, account: str, key: str) -> str:
        """All but the command's id; `account` and `key` are the bare hex of theirs."""
        return f'{{"account_id":"acct_{account}{self._middle}key_{key}"}},"caller_id":"req_'

    def make(self, head: str) -> bytes:
        return f'{head}{fresh_id()}"}}'.encode()
