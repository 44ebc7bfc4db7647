"""`farebox bench ledger`: opens accounts, loads them for a while, closes them, and reports."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from farebox.bench.access import Access, BenchError
from farebox.bench.accounts import Account, ask, close_accounts, name_accounts, open_accounts
from farebox.bench.histogram import Histogram
from farebox.bench.load import Load, Outcome
from farebox.bench.wire import Wire
from libs.events.times import from_text

NANOS_A_SECOND = 100_000
"""Credit of an account for each second: more than it can spend."""
DEADLINE = timedelta(hours=1)

Tell = Callable[[str], None]


class Plan(NamedTuple):
    seconds: float
    callers: int
    accounts: int


class LeftBehind(NamedTuple):
    """What stays in the log for good: accounts named `bench-<run>-<n>`, closed, and their events.

    Amounts in nanos of USD; what was granted and not charged was written off.
    """

    run: str
    accounts: int
    events: int
    granted: int
    charged: int


class Report(NamedTuple):
    plan: Plan
    partitions: int
    outcome: Outcome
    left: LeftBehind


async def bench(access: Access, plan: Plan, tell: Tell) -> Report:
    """Measure a running installation. Raises BenchError; then, too, the accounts are closed."""
    async with _connected(access, "gateway") as use, _connected(access, "admin") as admin:
        partitions, now = await _installation(use)
        run = secrets.token_hex(4)
        accounts = name_accounts(run, plan.accounts, partitions)
        credit = int(plan.seconds * NANOS_A_SECOND) + NANOS_A_SECOND
        tell(f"opening {plan.accounts} accounts, bench-{run}-1 and on, in {partitions} partitions")
        load = Load(use, accounts, now + DEADLINE, await _catalogue(use, partitions))
        try:
            events = await open_accounts(admin, accounts, credit, now)
            with _ended_by_interrupt(load):
                outcome = await load.run(plan.callers, plan.seconds, _second(tell))
        except BenchError as error:
            raise BenchError(f"{error}\n{await _clean_up(admin, accounts, run)}") from error
        tell("closing the accounts")
        events += await close_accounts(admin, accounts)
    events += outcome.commands
    left = LeftBehind(run, len(accounts), events, credit * len(accounts), outcome.charged)
    return Report(plan, partitions, outcome, left)


@asynccontextmanager
async def _connected(access: Access, user: str) -> AsyncIterator[Wire]:
    try:
        wire = await Wire.connect(access.url, user, access.passwords[user])
    except TimeoutError:
        raise BenchError(f"{access.url} does not answer as a NATS server") from None
    except RuntimeError as error:
        raise BenchError(f"{access.url} refuses user {user}: {error}") from None
    except OSError as error:
        raise BenchError(
            f"no NATS server at {access.url} ({error.strerror or error}): is `farebox up` running?"
        ) from None
    try:
        yield wire
    finally:
        wire.close()


async def _installation(use: Wire) -> tuple[int, datetime]:
    """The number of partitions and the ledger's time, as the reader knows them."""
    answer = await ask(use, b"ledger.queries.0.installation", b"{}")
    if answer.get("ok") is not True:
        raise BenchError(f"the reader answers {answer.get('code')}: {answer.get('message')}")
    return answer["data"]["partitions"], from_text(answer["data"]["ledger_now"])


async def _catalogue(use: Wire, partitions: int) -> str:
    """A catalogue that every partition sells by: a hold names one."""
    hashes: list[set[str]] = []
    for partition in range(partitions):
        answer = await ask(use, b"ledger.queries.%d.catalogues" % partition, b"{}")
        rows = answer["data"]["catalogues"] if answer.get("ok") else ()
        hashes.append({row["hash"] for row in rows if row["in_force"]})
    common = set.intersection(*hashes)
    if not common:
        raise BenchError("no catalogue is in force: publish one with `farebox catalogue publish`")
    return min(common)


async def _clean_up(admin: Wire, accounts: Sequence[Account], run: str) -> str:
    """Close what can be closed after a failure; says what could not."""
    try:
        await close_accounts(admin, accounts)
    except BenchError:
        return (
            f"accounts bench-{run}-1 to bench-{run}-{len(accounts)} may be left open; their holds "
            "expire by themselves, `farebox admin accounts show --external-id` shows them"
        )
    return f"accounts bench-{run}-1 to bench-{run}-{len(accounts)} are closed again"


@contextmanager
def _ended_by_interrupt(load: Load) -> Iterator[None]:
    """Ctrl-C ends the load early, not the tidying up."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, load.end)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _second(tell: Tell) -> Callable[[int, int, Histogram], None]:
    def told(second: int, answers: int, times: Histogram) -> None:
        p50, p99 = times.percentile_ms(50), times.percentile_ms(99)
        tell(f"{second:4} s {answers:9,} commands   p50 {p50:8.2f} ms   p99 {p99:8.2f} ms")

    return told
