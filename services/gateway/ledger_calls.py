"""Commands and questions of the JSON APIs: what comes back is the result, or a Problem."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from libs.events.commands import Command
from libs.events.ids import uuid8
from libs.events.replies import Reply
from services.gateway.problems import Problem, declined

GIVE_UP_S: Final = 4.0
DEADLINE: Final = timedelta(seconds=5)


class Ledger(Protocol):
    """The part of the ledger's client that the JSON APIs need."""

    def ledger_now(self) -> datetime: ...

    async def send(self, command: Command, *, give_up_s: float) -> Reply: ...

    async def query(
        self,
        name: str,
        data: dict[str, Any],
        *,
        account_id: str | None = None,
        partition: int | None = None,
    ) -> dict[str, Any]: ...


class Conflicting(Problem):
    """The same command was given before with other contents.

    `position`: in the partition's log, of the first event of what was done then.
    """

    def __init__(self, position: int | None = None) -> None:
        detail = (
            "This was asked for before with other contents under the same Idempotency-Key. "
            "Use a new key for a new request."
        )
        super().__init__(422, "idempotency_key_reused", detail)
        self.position = position


async def carry_out(ledger: Ledger, command: Command, unit: str | None = None) -> Reply:
    """Send a command and return its reply when it was accepted.

    Raises:
        Conflicting: it was accepted before with other contents.
        Problem: declined or refused.
        LedgerUnavailable: no answer; the same command may be sent again.
    """
    reply = await ledger.send(command, give_up_s=GIVE_UP_S)
    if reply.reply == "Declined":
        raise declined(reply.data, unit)
    if reply.reply == "Conflict":
        raise Conflicting(reply.data.get("first_position"))
    if reply.reply == "Malformed":
        raise Problem(422, "invalid_request", f"The ledger refused this: {reply.data['error']}")
    if reply.reply == "RejectedByStore":
        detail = "The ledger's store refused this; nothing was done. Tell the operator."
        raise Problem(500, "rejected_by_store", detail, sqlstate=reply.data["sqlstate"])
    return reply


async def ask(ledger: Ledger, name: str, account_id: str, **fields: Any) -> dict[str, Any]:
    """The data of a query about one account, with `as_of_position` added.

    Raises QueryFailed with the ledger's code, LedgerUnavailable without an answer.
    """
    question = {"account_id": account_id} | fields
    answer = await ledger.query(name, question, account_id=account_id)
    return dict(answer["data"]) | {"as_of_position": as_of(answer)}


def as_of(answer: Mapping[str, Any]) -> int:
    """The position in the partition's log up to which an answer is true."""
    position = answer["as_of_position"]
    return int(answer["position"] if position is None else position)


def named_uuid(*parts: str) -> UUID:
    """A uuid that the same parts always give: repeating a request repeats its ids."""
    return uuid8(hashlib.sha256("\0".join(parts).encode()).digest())
