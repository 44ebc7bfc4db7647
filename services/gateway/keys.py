"""Who is calling: the key in a request, as the ledger knows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from libs.events.ids import secret_hash, secret_partition
from libs.events.times import from_text
from libs.runtime.errors import LedgerUnavailable, PermissionDenied, QueryFailed

Headers = Iterable[tuple[bytes, bytes]]
"""Header lines as ASGI gives them: lower-case names (``scope["headers"]``)."""

_BEARER: Final = b"bearer "
_UNKNOWN: Final = "This API key is not valid."


class AuthError(Exception):
    """The caller is refused: `status` for HTTP, a `code` and a `message` for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A valid key. `position`: the place in its partition's log at which this was true."""

    key_id: str
    account_id: str
    purpose: str
    allowed: tuple[str, ...] | None
    unit: str
    plan: str
    key_status: str
    account_status: str
    expires_at: datetime | None
    position: int


class Ledger(Protocol):
    """The part of the ledger's client that keys need."""

    def ledger_now(self) -> datetime: ...

    async def query(
        self, name: str, data: dict[str, Any], *, partition: int | None = None
    ) -> dict[str, Any]: ...


class Remembered(Protocol):
    """A memory of keys; it may forget at any time and never tells what is no longer so."""

    def get(self, hashed: str) -> KeyInfo | None: ...

    def ask(self) -> int:
        """Note that a question goes out now; the number belongs to its answer."""
        ...

    def put(self, hashed: str, partition: int, info: KeyInfo, asked: int) -> None: ...


class KeyDirectory:
    """Finds the key of a request, in memory while that is kept fresh, else in the ledger."""

    def __init__(
        self, ledger: Ledger, *, partitions: int, remembered: Remembered | None = None
    ) -> None:
        self._ledger = ledger
        self._partitions = partitions
        self._remembered = remembered

    async def authenticate(self, headers: Headers) -> KeyInfo:
        """The valid key that a request carries as Bearer token or `x-api-key`.

        A frozen account's key is valid: the ledger refuses what a frozen account must not do.

        Raises:
            AuthError: 401 no key, unknown, revoked or expired; 503 the ledger cannot say.
        """
        secret = key_text(headers)
        hashed = secret_hash(secret)  # before anything else is done with the request (ACC-2)
        if not secret:
            raise AuthError(401, "invalid_api_key", "No API key was given.")
        try:
            info = await self._look_up(secret, hashed)
            now = self._ledger.ledger_now()
        except (LedgerUnavailable, PermissionDenied) as error:
            message = "The ledger does not answer; nothing was charged. Try again."
            raise AuthError(503, "ledger_unavailable", message) from error
        if info.key_status != "active" or info.account_status == "closed":
            raise AuthError(401, "invalid_api_key", _UNKNOWN)
        if info.expires_at is not None and info.expires_at <= now:
            raise AuthError(401, "invalid_api_key", _UNKNOWN)
        return info

    async def _look_up(self, secret: str, hashed: str) -> KeyInfo:
        remembered = self._remembered
        if remembered is not None and (known := remembered.get(hashed)) is not None:
            return known
        try:
            partition = secret_partition(secret)
        except ValueError:
            partition = self._partitions
        if partition >= self._partitions:
            raise AuthError(401, "invalid_api_key", _UNKNOWN)
        asked = remembered.ask() if remembered is not None else 0
        info = await self._ask(partition, hashed)
        if remembered is not None:
            remembered.put(hashed, partition, info, asked)
        return info

    async def _ask(self, partition: int, hashed: str) -> KeyInfo:
        try:
            answer = await self._ledger.query("key_by_hash", {"hash": hashed}, partition=partition)
        except QueryFailed as failed:
            if failed.code == "unknown_key":
                raise AuthError(401, "invalid_api_key", _UNKNOWN) from None
            raise LedgerUnavailable(failed.message) from failed
        return info_of(answer)


def key_text(headers: Headers) -> str:
    """The key in a request's headers, or nothing; a Bearer token wins over `x-api-key`."""
    found = b""
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == _BEARER:
            return value[7:].strip().decode("latin-1")
        if name == b"x-api-key":
            found = value.strip()
    return found.decode("latin-1")


def info_of(answer: Mapping[str, Any]) -> KeyInfo:
    """The key in an answer to `key_by_hash`."""
    data = answer["data"]
    expires_at, allowed = data["expires_at"], data["allowed"]
    return KeyInfo(
        key_id=data["key_id"],
        account_id=data["account_id"],
        purpose=data["purpose"],
        allowed=None if allowed is None else tuple(allowed),
        unit=data["unit"],
        plan=data["plan"],
        key_status=data["key_status"],
        account_status=data["account_status"],
        expires_at=None if expires_at is None else from_text(expires_at),
        position=answer["position"],
    )
