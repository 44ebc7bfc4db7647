"""/admin/v1: what operators do, each by the role of their credential."""

from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from services.gateway.admin import (
    accounts,
    books,
    catalogues,
    corrections,
    freezes,
    grants,
    holds,
    keys,
    operator,
    quarantine,
    spending,
)
from services.gateway.admin.context import Admin
from services.gateway.admin.logbook import Logbook
from services.gateway.json_api import Authorize, Door, describe, json_api

PREFIX: Final = "/admin/v1"
_CATALOGUE_MAX: Final = 2 * 1024 * 1024
"""Bytes of a request that publishes a catalogue: its text, with every quote escaped."""
_DESCRIPTION: Final = (
    "Operators' API. Every request carries an operator's token as its Bearer token; every POST an "
    "Idempotency-Key. `x-farebox-role` of an operation is the role it needs, else a viewer may use "
    "it. Amounts are decimal texts of the account's unit. Lists come page by page, as JSON or as "
    "CSV. Errors are RFC 9457."
)


def admin_routes() -> FastAPI:
    """The routes alone, for the description."""
    app = json_api("Farebox admin", PREFIX, _DESCRIPTION)
    for module in (
        *(operator, accounts, keys, grants, corrections, freezes, spending, books),
        *(holds, quarantine, catalogues),
    ):
        app.include_router(module.router, prefix=PREFIX)
    describe(app)
    return app


def admin_api(admin: Admin, authorize: Authorize) -> ASGIApp:
    """The application on the admin port, for those whom `authorize` lets in."""
    app = admin_routes()
    app.state.admin = admin
    return Door(
        Logbook(app),
        authorize,
        open_paths=frozenset({f"{PREFIX}/openapi.json"}),
        larger={f"{PREFIX}/catalogues": _CATALOGUE_MAX},
    )
