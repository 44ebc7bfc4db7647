"""Who operates: credentials, each with a name and a role (ACC-7).

A viewer reads; support also helps customers, within what they have paid; an admin also gives and
takes credits, changes plans and closes accounts.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from fastapi import Depends, Request
from starlette.types import Scope

from services.gateway.headers import header
from services.gateway.json_api import CALLER, Authorize
from services.gateway.problems import Problem

Role = Literal["viewer", "support", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "support", "admin")
"""Each may do all that those before it may."""
SHORTEST: Final = 16
_CREDENTIAL: Final = re.compile(r"([a-z0-9_.-]{1,32}):([a-z]+):([!-+\--~]+)")


@dataclass(frozen=True, slots=True)
class Operator:
    """Whose credential came with the request."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


def operators(token: str, more: str = "") -> dict[bytes, Operator]:
    """The operators by the digest of what they present.

    `token` is the one of an admin that has no name; `more` lists `name:role:token`, separated by
    commas or blanks. ValueError names what is wrong, never a token.
    """
    found: dict[bytes, Operator] = {}
    if token:
        found[_digest(token)] = Operator("admin", "admin")
    names = set[str]()
    for number, credential in enumerate(re.split(r"[\s,]+", more.strip()) if more.strip() else []):
        where = f"FAREBOX_ADMIN_TOKENS, entry {number + 1}"
        match = _CREDENTIAL.fullmatch(credential)
        if match is None:
            raise ValueError(f"{where}: it must be name:role:token")
        name, role, secret = match.groups()
        if role not in ROLES:
            raise ValueError(f"{where} ({name}): {role!r} is no role, as {', '.join(ROLES)} are")
        if len(secret) < SHORTEST:
            raise ValueError(f"{where} ({name}): a token has at least {SHORTEST} characters")
        if name in names:
            raise ValueError(f"{where}: {name} is listed twice")
        if _digest(secret) in found:
            raise ValueError(f"{where} ({name}): another operator has the same token")
        names.add(name)
        found[_digest(secret)] = Operator(name, cast("Role", role))
    if not found:
        raise ValueError(
            "FAREBOX_ADMIN_TOKEN and FAREBOX_ADMIN_TOKENS are empty: nobody could use the admin API"
        )
    return found


def holders(known: dict[bytes, Operator]) -> Authorize:
    """Let in who presents the Bearer token of an operator."""

    async def authorize(scope: Scope) -> object:
        # Digests have one length: comparing them tells nothing about a token's.
        given = hashlib.sha256(header(scope["headers"], b"authorization") or b"").digest()
        found = [who for digest, who in known.items() if hmac.compare_digest(given, digest)]
        if found:
            return found[0]
        detail = "The admin token is missing or wrong."
        raise Problem(401, "invalid_admin_token", detail, headers={"www-authenticate": "Bearer"})

    return authorize


def _digest(token: str) -> bytes:
    return hashlib.sha256(f"Bearer {token}".encode()).digest()


def operator_of(request: Request) -> Operator:
    """Who asks."""
    operator: Operator = request.scope[CALLER]
    return operator


def role(least: Role) -> dict[str, Any]:
    """For a route that not every operator may use; the description says so too."""

    def check(request: Request) -> None:
        operator = operator_of(request)
        if not operator.may(least):
            detail = f"This needs the role {least!r}; yours is {operator.role!r}."
            raise Problem(403, "role_missing", detail, required=least, role=operator.role)

    return {"dependencies": [Depends(check)], "openapi_extra": {"x-farebox-role": least}}
