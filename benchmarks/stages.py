"""What a Reserve costs the ledger's one core, stage by stage, without servers.

    python -m benchmarks.stages --commands 50000 --batch 128

CPU microseconds a command, best of several passes. It finds where the time goes; it is no
measure of throughput, for which there is `python -m benchmarks.ledger`.
"""

# ruff: noqa: E402
import argparse
import time

from libs.runtime.compiled import use_compiled

use_compiled()

from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from farebox.bench.commands import CATALOGUE, Reserves, fresh_id
from libs.events.subjects import LEDGER_NOW_HEADER
from libs.events.times import to_text
from libs.runtime.framing import published
from services.ledger.app import collect_rarely
from services.ledger.batch import Batch
from services.ledger.bodies import Log
from services.ledger.command_queue import CommandQueue
from services.ledger.domain.catalogues import Term
from services.ledger.domain.state import Account, Grant, Key, Moment
from services.ledger.intake import Intake
from services.ledger.loaded import NOTHING
from services.ledger.settings import LedgerSettings
from services.ledger.slot import EMPTY, Slot
from services.ledger.working_set import WorkingSet

PASSES = 5


class Bench:
    def __init__(self, commands: int, batch: int, accounts: int) -> None:
        self.batch_size = batch
        self.settings = LedgerSettings.model_construct(busy_above=10**9, busy_all_above=10**9)
        self.working = WorkingSet(10**6, 100_000)
        self.working.know({CATALOGUE: Term("")}, EMPTY)
        made, heads = Reserves(), []
        for _ in range(accounts):
            account, key = fresh_id(), fresh_id()
            self.working.accounts[f"acct_{account}"] = _slot(f"acct_{account}", f"key_{key}")
            heads.append(made.head(account, key))
        self.raw = [made.make(heads[i * 7919 % accounts]) for i in range(commands)]
        self.position = 0

    def run(self) -> dict[str, float]:
        queue = CommandQueue(self.batch_size, time.monotonic)
        intake = Intake(0, 1, queue, self.settings, incarnation=1, reply=_never, quarantine=_never)
        subject, reply = "ledger.commands.0.use", "inbox.gateway.bench.123456"
        spent: dict[str, float] = {}

        def timed(stage: str, work: Callable[[], Any]) -> Any:
            began = time.process_time()
            result = work()
            spent[stage] = spent.get(stage, 0) + time.process_time() - began
            return result

        timed("intake", lambda: [intake.receive(subject, reply, raw) for raw in self.raw])
        while not queue.empty:
            pendings = timed("take", queue.take)
            at = datetime.now(UTC)
            now = Moment(at, to_text(at))
            batch = Batch(self.working, NOTHING, Log(0, 1, self.position), now)
            timed("decide", lambda b=batch, ps=pendings: [b.run(pending) for pending in ps])
            timed("finish", batch.finish)
            timed("arguments", batch.columns.arguments)
            timed("merge", lambda b=batch: self.working.merge(b.overlay))
            headers = {LEDGER_NOW_HEADER: now.text}
            timed("replies", lambda b=batch, h=headers: published(b.replies, h))
            if len(batch.columns.events) != len(pendings):
                raise AssertionError("a benchmark's command was declined")
            self.position = batch.position
        return {stage: s / len(self.raw) * 1e6 for stage, s in spent.items()}


def _slot(account_id: str, key_id: str) -> Slot:
    grant = Grant(1, "admin", 10**15, 0, 0, None, None)
    key = Key(key_id, key_id, "inference", None, None, revoked=False)
    account = Account(
        account_id=account_id, unit="USD", plan="payg", available=10**15, grants=(grant,),
        next_grant_no=2, keys=MappingProxyType({key_id: key}), catalogue="0" * 64,
    )  # fmt: skip
    return Slot(account, 3, bytes(32), 3)


async def _never(*_: object) -> None:
    raise AssertionError("a benchmark's command was refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--accounts", type=int, default=10_000)
    options = parser.parse_args()
    collect_rarely()
    best: dict[str, float] = {}
    for _ in range(PASSES):
        for stage, us in Bench(options.commands, options.batch, options.accounts).run().items():
            best[stage] = min(us, best.get(stage, us))
    for stage, us in best.items():
        print(f"{stage:12}{us:8.2f} us")
    print(f"{'all':12}{sum(best.values()):8.2f} us")


if __name__ == "__main__":
    main()
