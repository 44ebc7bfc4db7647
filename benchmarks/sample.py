"""What the ledger writes for one account, and the same for any other account by joining text.

A sample account is opened, keyed, filled and charged through the ledger itself; the rows it
wrote are the templates. So a filled log is what the product writes, whatever it will write.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson

from benchmarks.opening import opening
from farebox.bench.commands import Reserves, fresh_id
from farebox.bench.wire import Wire
from libs.events import commands as c
from libs.events.codec import encode_command
from libs.events.times import to_text

HELD = 5_000_000
"""Nanos; what a request of half a cent may cost at most."""
HOLD_S = 600
SETUP = 3
"""Events of an account before its first request: opened, keyed, filled."""

Values = Mapping[str, bytes]


class Template:
    """Bytes with gaps; `fill` closes them."""

    def __init__(self, sample: bytes, gaps: Mapping[str, bytes]) -> None:
        names = {text: name for name, text in gaps.items()}
        pattern = b"(" + b"|".join(map(re.escape, sorted(names, key=len, reverse=True))) + b")"
        pieces = re.split(pattern, sample)
        self._form = b"".join(
            b"%b" if at % 2 else piece.replace(b"%", b"%%") for at, piece in enumerate(pieces)
        )
        self._order = tuple(names[piece] for piece in pieces[1::2])

    def fill(self, values: Values) -> bytes:
        return self._form % tuple([values[name] for name in self._order])


class Step(NamedTuple):
    """One command and its one event."""

    kind: int
    type: int
    version: int
    body: Template
    caller: Template
    is_id: bool
    """Whether the caller id is an id, which counts by its own bytes."""

    def caller_bytes(self, values: Values) -> bytes:
        text = self.caller.fill(values)
        if self.is_id:
            return bytes.fromhex(text[-32:].decode())
        return hashlib.sha256(text).digest()[:16]


@dataclass(frozen=True)
class Sample:
    """Everything an account leaves in the tables: `SETUP` steps, then two for each request."""

    steps: list[Step]
    account: dict[str, Any]
    state: Template
    key: dict[str, Any]
    grant: dict[str, Any]


async def take_sample(url: str, password: Callable[[str], str], dsn: str, requests: int) -> Sample:
    """Send one account's life to a running ledger and read what it wrote."""
    account, key = fresh_id(), fresh_id()
    admin = await Wire.connect(url, "admin", password("admin"))
    for command in opening(f"acct_{account}", f"key_{key}"):
        await _send(admin, b"ledger.commands.0.admin", encode_command(command))
    admin.close()
    use = await Wire.connect(url, "gateway", password("gateway"))
    made, held = Reserves(HELD, HOLD_S), []
    for _ in range(requests):
        raw = made.make(made.head(account, key))
        held.append(orjson.loads(raw)["caller_id"])
        await _send(use, b"ledger.commands.0.use", raw)
        await _send(use, b"ledger.commands.0.use", encode_command(_settle(account, held[-1])))
    use.close()
    connection = await asyncpg.connect(dsn)
    try:
        return await _read(connection, account, key, [res[4:] for res in held])
    finally:
        await connection.close()


async def _send(wire: Wire, subject: bytes, raw: bytes) -> None:
    answer = orjson.loads(await wire.request(subject, raw))
    if answer["event_count"] != 1:
        raise RuntimeError(f"a sample's command must write one event: {answer}")


def _settle(account: str, res: str) -> c.Command:
    data = c.SettleData(
        res=res, charge=1_234_000, margin=112_000, basis="actual", cost_pico=1_122_000_000,
        usage={"input_tokens": 812, "output_tokens": 164}, model="swift-1", route="north/swift-1",
        route_reason="first", attempts=(), finish="stop", status=200,
    )  # fmt: skip
    common = {"account_id": f"acct_{account}", "correlation_id": "bench", "causation": None}
    return c.Settle(caller_id=res, deadline=None, traceparent=None, data=data, **common)


async def _read(
    connection: "asyncpg.Connection[Any]", account: str, key: str, held: list[str]
) -> Sample:
    events = await connection.fetch(
        "select position, type, version, body from ledger.events where account_id = $1::text::uuid"
        " order by version", account,
    )  # fmt: skip
    kinds = dict(await connection.fetch(
        "select position, kind from ledger.commands where account_id = $1::text::uuid", account
    ))  # fmt: skip
    requests = [None] * SETUP + [res for res in held for _ in range(2)]
    own = {"account": account.encode(), "key": key.encode()}

    async def row(table: str) -> dict[str, Any]:
        query = f"select * from ledger.{table} where account_id = $1::text::uuid"
        return dict(await connection.fetchrow(query, account))

    stands = await row("accounts")
    return Sample(
        steps=[
            _step(event, kinds[event["position"]], own, res)
            for event, res in zip(events, requests, strict=True)
        ],
        account=stands,
        state=Template(stands["state"], own),
        key=await row("api_keys"),
        grant=await row("granted"),
    )


def _step(event: Any, kind: int, own: Values, res: str | None) -> Step:
    body = orjson.loads(event["body"])
    gaps = {**own, **({"res": res.encode()} if res else {})}
    caller = Template(body["command_id"].encode(), gaps)
    gaps["prev"] = body["prev"].encode()
    gaps["position"] = b'"position":%d,' % body["position"]
    gaps["at"] = body["occurred_at"].encode()
    until = body["data"].get("expires_at")
    if until is not None:
        gaps["until"] = until.encode()
    return Step(
        kind, event["type"], event["version"], Template(event["body"], gaps), caller,
        re.fullmatch(r"[a-z]+_[0-9a-f]{32}", body["command_id"]) is not None,
    )  # fmt: skip


class Clock:
    """The time of each position: a millisecond apart, up to now."""

    def __init__(self, last: int) -> None:
        self._base = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=last // 1000 + 2)
        self._texts: dict[int, str] = {}

    def at(self, position: int) -> bytes:
        """When a position was written, as it stands in bodies."""
        second, milli = divmod(position, 1000)
        return f"{self._second(second)}{milli:03d}000Z".encode()

    def until(self, position: int) -> bytes:
        return self.at(position + HOLD_S * 1000)

    def hex(self, position: int) -> str:
        """The 12 digits with which a uuid7 of that moment begins."""
        return f"{int(self._base.timestamp()) * 1000 + position:012x}"

    def _second(self, second: int) -> str:
        if second not in self._texts:
            self._texts[second] = to_text(self._base + timedelta(seconds=second))[:-7]
        return self._texts[second]
