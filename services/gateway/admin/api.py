"""/admin/v1: accounts, keys, grants and freezes, for whoever holds the admin token."""

import hashlib
import hmac
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Scope

from services.gateway.admin import accounts, catalogues, freezes, grants, keys
from services.gateway.admin.context import Admin
from services.gateway.headers import header
from services.gateway.json_api import Authorize, Door, describe, json_api
from services.gateway.problems import RESPONSES, Problem

PREFIX: Final = "/admin/v1"
_DESCRIPTION: Final = (
    "Operators' API. Every request carries the admin token as its Bearer token; every POST an "
    "Idempotency-Key. Amounts are decimal texts of the account's unit. Errors are RFC 9457."
)


def admin_routes() -> FastAPI:
    """The routes alone, for the description."""
    app = json_api("Farebox admin", PREFIX, _DESCRIPTION)
    for module in (accounts, keys, grants, freezes, catalogues):
        app.include_router(module.router, prefix=PREFIX, responses=RESPONSES)
    describe(app)
    return app


def holder_of(token: str) -> Authorize:
    """Let in who presents this Bearer token; ValueError for no token at all."""
    if not token:
        raise ValueError("FAREBOX_ADMIN_TOKEN is empty: the admin API would be open to everybody")
    # Digests have one length: comparing them tells nothing about the token's.
    expected = hashlib.sha256(f"Bearer {token}".encode()).digest()

    async def authorize(scope: Scope) -> object:
        given = header(scope["headers"], b"authorization") or b""
        if hmac.compare_digest(hashlib.sha256(given).digest(), expected):
            return "operator"
        detail = "The admin token is missing or wrong."
        raise Problem(401, "invalid_admin_token", detail, headers={"www-authenticate": "Bearer"})

    return authorize


def admin_api(admin: Admin, authorize: Authorize) -> ASGIApp:
    """The application on the admin port, for those whom `authorize` lets in."""
    app = admin_routes()
    app.state.admin = admin
    return Door(app, authorize, open_paths=frozenset({f"{PREFIX}/openapi.json"}))
