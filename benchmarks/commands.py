"""Command bytes for load: made by joining text, proven equal to the contract by its decoder."""

import os
import time
from datetime import UTC, datetime, timedelta

from libs.events.codec import Malformed, decode_command
from libs.events.times import to_text

CATALOGUE = "0" * 64


def fresh_id() -> str:
    """32 hex digits of a uuid7: time-ordered, as callers make them."""
    millis = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10))
    value = (millis << 80) | (0x7 << 76) | ((noise >> 62 & 0xFFF) << 64) | (0x2 << 62)
    return f"{value | (noise & ((1 << 62) - 1)):032x}"


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
        first = decode_command(self.make("0" * 32, "0" * 32))
        if isinstance(first, Malformed):
            raise TypeError(first.error)

    def make(self, account: str, key: str) -> bytes:
        """`account` and `key` are the bare hex of their ids."""
        return (
            f'{{"account_id":"acct_{account}{self._middle}key_{key}"}},'
            f'"caller_id":"req_{fresh_id()}"}}'
        ).encode()
