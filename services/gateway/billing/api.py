"""/billing/v1: balance, statement, receipts, prices, packs and auto-recharge of one account."""

from typing import Final, Protocol

from fastapi import FastAPI
from starlette.types import ASGIApp, Scope

from libs.catalogue import Catalogue
from services.gateway.attached import Openers
from services.gateway.billing import (
    auto_recharge,
    estimate,
    keys,
    prices,
    purchases,
    receipts,
    requests,
    reservations,
    spending,
    statement,
    usage,
)
from services.gateway.billing.context import Billing, Keys
from services.gateway.billing.payments import Client, Payments
from services.gateway.json_api import Door, describe, json_api
from services.gateway.keys import AuthError
from services.gateway.ledger_calls import Ledger
from services.gateway.limits.billing import BillingRate, telling_rates
from services.gateway.problems import ALWAYS, RETRY_AFTER_S, Problem

PREFIX: Final = "/billing/v1"
_DESCRIPTION: Final = (
    "What an account owner's programs ask. An inference key reads its account's balance and "
    "prices and its own requests; a service key reserves for work that is done elsewhere; "
    "everything else needs an account key. Amounts are decimal texts of the account's unit. Lists "
    "come page by page, as JSON or as CSV. Errors are RFC 9457."
)


class Host(Protocol):
    """The part of the gateway that the billing API needs."""

    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def nc(self) -> Client: ...


def billing_routes() -> FastAPI:
    """The routes alone, for the description."""
    app = json_api("Farebox billing", PREFIX, _DESCRIPTION)
    for module in (
        *(statement, requests, receipts, usage, prices, estimate, keys, spending),
        *(purchases, auto_recharge, reservations),
    ):
        app.include_router(module.router, prefix=PREFIX)
    describe(app, always=(*ALWAYS, 429))
    return app


def billing_api(
    gateway: Host, rate: BillingRate | None = None, openers: Openers | None = None
) -> ASGIApp:
    """The application for every path under /billing/v1."""
    app = billing_routes()
    app.state.billing = Billing(
        catalogue=gateway.catalogue,
        ledger=gateway.ledger,
        keys=gateway.keys,
        payments=Payments(gateway.nc),
        openers=openers or Openers(gateway.ledger),
    )

    async def authorize(scope: Scope) -> object:
        try:
            key = await gateway.keys.authenticate(scope["headers"])
        except AuthError as error:
            raise _refused(error) from error
        if rate is not None:
            await rate.count(scope, key)
        return key

    door = Door(
        app,
        authorize,
        open_paths=frozenset({f"{PREFIX}/openapi.json"}),
        larger={f"{PREFIX}{estimate.PATH}": gateway.catalogue.gateway.body_max},
    )
    return telling_rates(door)


def _refused(error: AuthError) -> Problem:
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if error.status == 503:
        headers = {"retry-after": str(RETRY_AFTER_S)}
    return Problem(error.status, error.code, error.message, headers=headers)
