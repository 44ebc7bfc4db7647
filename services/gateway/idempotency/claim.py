"""One request with an Idempotency-Key, from the look at what is known to what is kept of it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from libs.events.money import decimal_text
from services.gateway.exchange import Exchange
from services.gateway.hold import Hold
from services.gateway.idempotency.answers import Answer
from services.gateway.idempotency.naming import attempt_id, tagged
from services.gateway.idempotency.pasts import Past, look_up
from services.gateway.idempotency.records import Record, Records
from services.gateway.idempotency.refusals import (
    exhausted,
    in_progress,
    mismatch,
    not_replayable,
)
from services.gateway.keys import KeyInfo
from services.gateway.ledger_calls import Ledger
from services.gateway.orders import Closed
from services.gateway.pump import Job
from services.gateway.reservations import Reservations, TakenError

if TYPE_CHECKING:
    from services.gateway.idempotency.shared import SharedAnswers

MOST_TRIES: Final = 16


@dataclass(frozen=True)
class Memory:
    """Where a worker looks for what became of a request: `answer_max` bytes of an answer."""

    records: Records
    ledger: Ledger
    answer_max: int
    shared: "SharedAnswers | None" = None


class Claim:
    """A request that is to run unless it turns out that another gateway has had it.

    Its tries are numbered; each has a reservation of its own, whose id every gateway derives alike.
    The ledger opens it for the first that asks. A try that was given back is followed by the next.
    """

    def __init__(self, memory: Memory, key: KeyInfo, text: str, digest: str, attempt: int) -> None:
        self.name = attempt_id(key.account_id, text, 0)
        self.digest = digest
        self._memory = memory
        self._key = key
        self._text = text
        self._attempt = attempt
        self._answer: Answer | None = None

    def tagged(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """The request's tags and what is asked for; raises Refusal where there is no room."""
        return tagged(tags, self.digest)

    def begin(self) -> None:
        """From here on a repeat is told that it runs."""
        self._memory.records.begin(self.name, self._record())

    async def hold(self, reservations: Reservations, job: Job, exchange: Exchange) -> Hold | None:
        """Hold as `Reservations.hold` does, once among all gateways.

        None: the request was done before, and its answer is told again.

        Raises:
            Refusal: nothing is held, and nothing may be executed.
        """
        while self._attempt < MOST_TRIES:
            res = attempt_id(self._key.account_id, self._text, self._attempt)
            exchange.request_id = res
            job.order = replace(job.order, res=res, once=secrets.token_hex(16))
            self.begin()
            try:
                return await reservations.hold(job.order, amount=job.amount, at_least=job.at_least)
            except TakenError:
                past = await look_up(self._memory.ledger, self._key.account_id, res)
            if past.state != "released":
                await self._again(past, exchange)
                return None
            self._attempt += 1
        raise exhausted(MOST_TRIES)

    async def _again(self, past: Past, exchange: Exchange) -> None:
        """Tell again what another gateway has told; raises Refusal where that cannot be."""
        if not past.is_of(self._key.key_id, self.digest):
            raise mismatch()
        if past.state == "open":
            raise in_progress(past.res)
        shared, answer = self._memory.shared, None
        if shared is not None and past.state == "settled":
            answer = await shared.get(self._key.account_id, past.res)
        if answer is None or answer.head is None:
            raise not_replayable(past.answer(self._key.unit), self._key.unit)
        self._answer = answer
        answer.tell(exchange)

    def close(self, exchange: Exchange, closed: Closed, *, final: bool, whole: bool) -> None:
        """The try has ended and the client has its answer. What was charged is `final`.

        Not `whole`: it was a stream, also where its client was gone before the first byte.
        """
        if final:
            self._answer = self._told(exchange, closed, whole=whole)
            if self._memory.shared is not None and self._answer.head is not None:
                self._memory.shared.put(self._key.account_id, self._answer)
        elif closed.charge is not None:
            self._attempt += 1  # the ledger has it back; else it may still hold it

    def _told(self, exchange: Exchange, closed: Closed, *, whole: bool) -> Answer:
        head = exchange.head
        charged = None if closed.charge is None else decimal_text(closed.charge, self._key.unit)
        again = head if whole and head is not None and head.body is not None else None
        status = None if head is None else head.status
        told = Answer(exchange.request_id, status, charged, again)
        return told.within(self._memory.answer_max)

    def end(self) -> None:
        """Whatever came of it: it does not run any more."""
        self._memory.records.end(self.name, self._record())

    def _record(self) -> Record:
        res = attempt_id(self._key.account_id, self._text, self._attempt)
        return Record(self._key.key_id, self.digest, self._attempt, res, self._answer)
