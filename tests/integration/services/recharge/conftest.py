"""Recharge on a real database, with the ledger's rules in memory beside it."""

from dataclasses import dataclass

import asyncpg
import orjson
import pytest

from libs.catalogue import parse
from services.recharge.asking import Asking
from services.recharge.looks import Looker
from services.recharge.offers import Offers
from services.recharge.settings import RechargeSettings
from services.recharge.store import Fall, Store, save_fall
from tests.support.catalogue import EXAMPLE
from tests.support.recharge import RuledLedger


@dataclass
class World:
    """One recharge process's parts, and what stands around it."""

    store: Store
    ledger: RuledLedger
    pool: asyncpg.Pool
    settings: RechargeSettings
    currency: str | None = None
    payments: bytes | Exception | None = None
    """What payments answers, raises, or (None) the currency of the last order."""

    async def ask_payments(self, subject: str, question: bytes) -> bytes:
        assert subject == "payments.requests.order"
        assert orjson.loads(question)["last"] is True
        if isinstance(self.payments, Exception):
            raise self.payments
        if self.payments is not None:
            return self.payments
        data = {"currency": self.currency} if self.currency else None
        return orjson.dumps({"ok": True, "data": data})

    def looker(self) -> Looker:
        """The looker of a process that has just started."""
        asking = Asking(self.store, self.ledger, start_within_s=5.0, give_up_s=1.0)
        offers = Offers(parse(EXAMPLE), self.ask_payments)
        now = self.ledger.ledger_now
        return Looker(self.store, asking, offers, self.ledger.standing, now, self.settings)

    async def fell(self, account: str, state: str = "watched") -> None:
        """The watcher has stored the account's newest fall."""
        await self.saw(self.ledger.last_fall(account, state))

    async def saw(self, fall: Fall) -> None:
        async with self.pool.acquire() as connection:
            await save_fall(connection, fall, self.ledger.ledger_now())

    async def row(self, account: str):
        rows = await self.store.after("", 10_000)
        return next((row for row in rows if row.account_id == account), None)

    async def look(self, account: str, run: str | None = None) -> str:
        """A process that has just started looks at the account."""
        return await self.looker().look(await self.row(account), run)

    async def attempts(self, account: str) -> list[tuple[str, str | None]]:
        """(state, code) of the account's attempts, oldest first."""
        rows = await self.pool.fetch(
            "select state, code from recharge.attempts where account_id = $1 order by stored_at",
            account,
        )
        return [(row["state"], row["code"]) for row in rows]


@pytest.fixture(scope="module")
async def pool(database):
    async with asyncpg.create_pool(database.dsn("recharge"), min_size=1, max_size=4) as made:
        yield made


@pytest.fixture
def world(pool) -> World:
    return World(Store(pool), RuledLedger(), pool, RechargeSettings())
