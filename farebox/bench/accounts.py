"""The accounts that a bench opens for itself, and closes again."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from farebox.bench.access import BenchError
from farebox.bench.commands import CATALOGUE
from farebox.bench.wire import NoResponders, Wire
from libs.events import commands as c
from libs.events.codec import encode_command
from libs.events.ids import account_for_external_id, new_id, new_secret, partition_of, secret_hash

AT_ONCE = 32
ANSWER_S = 5.0
KEY_LIVES = timedelta(hours=1)


class Account(NamedTuple):
    """An account of the bench; its key's secret is known to nobody."""

    external_id: str
    account_id: str
    key_id: str
    partition: int

    @property
    def subject(self) -> bytes:
        return b"ledger.commands.%d.use" % self.partition


def name_accounts(run: str, count: int, partitions: int) -> list[Account]:
    """`bench-<run>-1` and so on, in all partitions."""
    made = []
    for number in range(1, count + 1):
        external_id = f"bench-{run}-{number}"
        account_id = account_for_external_id(external_id)
        made.append(
            Account(external_id, account_id, new_id("key"), partition_of(account_id, partitions))
        )
    return made


async def open_accounts(wire: Wire, accounts: Sequence[Account], credit: int, now: datetime) -> int:
    """Open, key and fill them with `credit` nanos each; the events it took. Raises BenchError."""
    events = await _gather(_send_all(wire, each, _opening(each, credit, now)) for each in accounts)
    return sum(events)


async def close_accounts(wire: Wire, accounts: Sequence[Account]) -> int:
    """Write off what is left of them and close them; the events it took. Raises BenchError."""
    data = c.CloseAccountData(write_off=True, reason_code="bench")
    events = await _gather(
        _send_all(
            wire, each, [c.CloseAccount(caller_id=f"bench:close:{each.account_id}", data=data,
                                        **_common(each))]
        )
        for each in accounts
    )  # fmt: skip
    return sum(events)


def _opening(account: Account, credit: int, now: datetime) -> list[c.Command]:
    opened = c.OpenAccountData(
        unit="USD", plan="bench", catalogue=CATALOGUE, external_id=account.external_id
    )
    secret = new_secret(account.partition)
    issued = c.IssueKeyData(
        key_id=account.key_id, secret_hash=secret_hash(secret), purpose="inference",
        prefix=secret[:9], expires_at=now + KEY_LIVES,
    )  # fmt: skip
    granted = c.GrantCreditsData(source="admin", amount=credit, priority=0, reason_code="bench")
    common, name = _common(account), account.account_id
    return [
        c.OpenAccount(caller_id=name, data=opened, **common),
        c.IssueKey(caller_id=account.key_id, data=issued, deadline=now + KEY_LIVES, **common),
        c.GrantCredits(caller_id=f"bench:{name}", data=granted, **common),
    ]


def _common(account: Account) -> dict[str, Any]:
    return {"account_id": account.account_id, "correlation_id": "bench"}


async def _send_all(wire: Wire, account: Account, commands: Iterable[c.Command]) -> int:
    """Send commands one after the other, each until it has an answer that is no `Busy`."""
    subject, events = b"ledger.commands.%d.admin" % account.partition, 0
    for command in commands:
        raw = encode_command(command)
        answer = await ask(wire, subject, raw)
        while answer["reply"] == "Busy":
            await asyncio.sleep(0.05)
            answer = await ask(wire, subject, raw)
        if not answer["event_count"]:
            raise BenchError(f"{command.kind} of {account.external_id} was refused: {answer}")
        events += answer["event_count"]
    return events


async def ask(wire: Wire, subject: bytes, raw: bytes) -> dict[str, Any]:
    """The answer to one message. Raises BenchError when there is none."""
    name = subject.decode()
    try:
        answer: dict[str, Any] = orjson.loads(
            await asyncio.wait_for(wire.request(subject, raw), ANSWER_S)
        )
    except NoResponders:
        raise BenchError(f"nobody answers on {name}: is `farebox serve` of it running?") from None
    except TimeoutError:
        raise BenchError(f"no answer on {name} within {ANSWER_S:g} s") from None
    except (OSError, RuntimeError) as error:
        raise BenchError(f"NATS ended the connection: {error}") from error
    return answer


async def _gather(work: Iterable[Any]) -> list[int]:
    """A few at once, so that a bench's opening and closing is no load of its own."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(each: Any) -> int:
        async with gate:
            return int(await each)

    return await asyncio.gather(*(gated(each) for each in work))
