"""What every route of the admin API shares."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from libs.catalogue import Catalogue, Plan
from libs.events.ids import is_id, new_id
from services.gateway.admin.kept import Quarantine
from services.gateway.ledger_calls import Ledger, ask
from services.gateway.problems import Problem, declined


@dataclass(frozen=True)
class Admin:
    """The admin process: what is sold, the ledger that it sends commands of class admin, and
    what no service could read.
    """

    catalogue: Catalogue
    ledger: Ledger
    quarantine: Quarantine

    def plan(self, name: str) -> Plan:
        """The plan of this name; a Problem that lists the plans when there is none."""
        plan = self.catalogue.plans.get(name)
        if plan is None:
            known = sorted(self.catalogue.plans)
            detail = f"There is no plan {name!r}; there are {', '.join(known)}."
            raise Problem(422, "unknown_plan", detail, plans=known)
        return plan

    async def unit_of(self, account_id: str) -> str:
        """The unit of an account; QueryFailed when there is no such account."""
        return str((await ask(self.ledger, "balance", account_id))["unit"])


def _admin(request: Request) -> Admin:
    admin: Admin = request.app.state.admin
    return admin


def _account(account_id: str) -> str:
    if not is_id(account_id, "acct"):
        raise declined({"code": "unknown_account"})
    return account_id


def _key(key_id: str) -> str:
    if not is_id(key_id, "key"):
        raise declined({"code": "unknown_key"})
    return key_id


def correlation_id() -> str:
    """A name that ties the events of one request of the admin API together."""
    return new_id("req")


TheAdmin = Annotated[Admin, Depends(_admin)]
AccountId = Annotated[str, Depends(_account)]
KeyId = Annotated[str, Depends(_key)]
_HEADER: Final = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=255,
    pattern="^[ -~]+$",
    description="Repeating a request with the same key does it once.",
)
IdempotencyKey = Annotated[str, _HEADER]
MaybeIdempotencyKey = Annotated[str | None, _HEADER]
