"""What every route of the billing API shares, and which key may use which route (ACC-7)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Protocol

from fastapi import Depends, Header, Request

from libs.catalogue import Catalogue, Plan
from services.gateway.attached import Openers
from services.gateway.billing.payments import Payments
from services.gateway.json_api import CALLER
from services.gateway.keys import Headers, KeyInfo
from services.gateway.ledger_calls import Ledger
from services.gateway.offers import Offers
from services.gateway.problems import Problem
from services.gateway.templates import Templates


class Keys(Protocol):
    """Who is calling."""

    async def authenticate(self, headers: Headers) -> KeyInfo: ...


@dataclass(frozen=True)
class Billing:
    """What is sold, who is calling, and whom to ask: the ledger and payments."""

    catalogue: Catalogue
    ledger: Ledger
    keys: Keys
    payments: Payments
    openers: Openers

    @cached_property
    def offers(self) -> Offers:
        """What each plan sells, by name."""
        return Offers(self.catalogue)

    @cached_property
    def templates(self) -> Templates:
        """The operations whose path has parts of the customer's own."""
        return Templates(self.catalogue.operations.values())

    def plan_of(self, key: KeyInfo) -> Plan:
        """The plan of the key's account; a Problem when the catalogue no longer has it."""
        plan = self.catalogue.plans.get(key.plan)
        if plan is None:
            detail = f"The plan {key.plan!r} of this account is not in the catalogue."
            raise Problem(409, "unknown_plan", detail)
        return plan


def _billing(request: Request) -> Billing:
    billing: Billing = request.app.state.billing
    return billing


def _caller(request: Request) -> KeyInfo:
    key: KeyInfo = request.scope[CALLER]
    return key


def for_purposes(*purposes: str) -> Callable[[Request], KeyInfo]:
    """Who is calling, with a key made for one of these; 403 `scope_missing` for any other."""

    def caller(request: Request) -> KeyInfo:
        key = _caller(request)
        if key.purpose not in purposes:
            wanted = " or ".join(purposes)
            detail = f"This is a key for purpose '{key.purpose}'; use one for '{wanted}' here."
            raise Problem(403, "scope_missing", detail, purpose=key.purpose)
        return key

    return caller


TheBilling = Annotated[Billing, Depends(_billing)]
Caller = Annotated[KeyInfo, Depends(for_purposes("inference", "account"))]
"""Any key but a service key, which reserves and reads nothing."""
Owner = Annotated[KeyInfo, Depends(for_purposes("account"))]
"""An account key."""
Service = Annotated[KeyInfo, Depends(for_purposes("service"))]
"""A service key."""
OwnerOrService = Annotated[KeyInfo, Depends(for_purposes("service", "account"))]
_IDEMPOTENCY: Final = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=255,
    pattern="^[ -~]+$",
    description="Repeating a request with the same key does it once.",
)
IdempotencyKey = Annotated[str, _IDEMPOTENCY]
MaybeIdempotencyKey = Annotated[str | None, _IDEMPOTENCY]
