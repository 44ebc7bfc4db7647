"""Command bytes for load: made by joining text, proven equal to the contract by its decoder."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events import commands as c
from libs.events.codec import Malformed, decode_command, encode_command
from libs.events.times import to_text

CATALOGUE = "0" * 64
_VARIANT = 0x2 << 62


def fresh_id() -> str:
    """32 hex digits of a uuid7: time-ordered, as callers make them."""
    millis = time.time_ns() // 1_000_000
    return f"{millis:012x}7{random.getrandbits(12):03x}{_VARIANT | random.getrandbits(62):016x}"


class Reserves:
    """Makes Reserve commands of one amount. Their deadline is 12 hours away, or the one given."""

    def __init__(
        self,
        amount: int = 1,
        hold_s: int = 3600,
        deadline: datetime | None = None,
        catalogue: str = CATALOGUE,
    ) -> None:
        until = to_text(deadline or datetime.now(UTC) + timedelta(hours=12))
        self._middle = (
            f'","causation":null,"correlation_id":"bench","deadline":"{until}",'
            '"kind":"Reserve","kind_version":1,"traceparent":null,"data":{"amount":"%d",'
            '"at_deadline":"release","at_least":"%d","attached_cost_ceiling":null,'
            '"catalogue":"%s","fee":null,"hold_ms":%d,"operation":"swift-1","surface":"bench",'
            '"once":null,"tags":{},"key_id":"' % (amount, amount, catalogue, hold_s * 1000)
        )
        first = decode_command(self.make(self.head("0" * 32, "0" * 32)))
        if isinstance(first, Malformed):
            raise TypeError(first.error)

    def head(self, account: str, key: str) -> str:
        """All but the command's id; `account` and `key` are the bare hex of theirs."""
        return f'{{"account_id":"acct_{account}{self._middle}key_{key}"}},"caller_id":"req_'

    def one(self, account_id: str, key_id: str) -> tuple[bytes, str]:
        """A command, and the reservation's id."""
        res = fresh_id()
        return f'{self.head(account_id[5:], key_id[4:])}{res}"}}'.encode(), f"req_{res}"

    def make(self, head: str) -> bytes:
        return f'{head}{fresh_id()}"}}'.encode()


class Endings:
    """Makes the Settle of one nano, and the Release, of a reservation.

    The encoder's own bytes, with gaps for the two ids (whole: `acct_…`, `req_…`).
    """

    def __init__(self) -> None:
        account, res = f"acct_{'a' * 32}", f"req_{'b' * 32}"
        ids: dict[str, Any] = {
            "caller_id": res, "account_id": account, "correlation_id": "bench",
            "causation": None, "traceparent": None, "deadline": None,
        }  # fmt: skip
        charge = c.SettleData(res=res, charge=1, margin=0, basis="fixed")
        back = c.ReleaseData(res=res, reason_code="bench")
        made: list[c.Command] = [c.Settle(data=charge, **ids), c.Release(data=back, **ids)]
        self._settle, self._release = (
            encode_command(command).decode().replace("%", "%%")
            .replace(account, "%(account)s").replace(res, "%(res)s")
            for command in made
        )  # fmt: skip

    def settle(self, account: str, res: str) -> bytes:
        return (self._settle % {"account": account, "res": res}).encode()

    def release(self, account: str, res: str) -> bytes:
        return (self._release % {"account": account, "res": res}).encode()
