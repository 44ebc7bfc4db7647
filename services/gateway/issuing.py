"""Making, replacing and ending keys: the same rules for an owner and for an operator (ACC-4)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, Field

from libs.catalogue import Catalogue
from libs.events.commands import IssueKey, IssueKeyData, RevokeKey, RevokeKeyData
from libs.events.fields import FreeText, Name
from libs.events.ids import id_of, new_id, new_secret, partition_of, secret_hash
from libs.events.money import decimal_text
from libs.events.times import from_text, to_text
from services.gateway.fields import AmountText, Body, Moment, invalid, nanos
from services.gateway.ledger_calls import (
    DEADLINE,
    Conflicting,
    Ledger,
    ask,
    carry_out,
    named_uuid,
)
from services.gateway.problems import declined

_SHOWN: Final = 6
"""Characters of the secret that are kept as its prefix: enough to know it by, no help to guess."""
CAPS: Final = ("cap_total", "cap_day", "cap_month")
_SPENT: Final = ("spent_total", "spent_day", "spent_month")
OVERLAP_MAX: Final = timedelta(days=30)


class Desk(Protocol):
    """Who makes keys: the ledger to ask, and what there is to be allowed."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def catalogue(self) -> Catalogue: ...


class KeyToIssue(Body):
    """`allowed`: the models and operations it may use, all that the plan sells when null.

    An inference key spends; an account key reads the statement, buys, manages keys and limits; a
    service key reserves for work of its own. Caps are decimal texts of the account's unit, in all
    and for each UTC day and month; they are counted on through rotations.
    """

    purpose: Literal["inference", "account", "service"]
    name: FreeText | None = None
    allowed: Annotated[list[Name], Field(min_length=1, max_length=50)] | None = None
    expires_at: Moment | None = None
    cap_total: AmountText | None = None
    cap_day: AmountText | None = None
    cap_month: AmountText | None = None


class Rotation(Body):
    """The old key goes on for `overlap_s` seconds, at most 30 days; 0 ends it at once.

    The new one has its name, purpose, allowances, caps and expiry, unless another is given.
    """

    overlap_s: Annotated[int, Field(ge=0, le=int(OVERLAP_MAX.total_seconds()))] = 24 * 3600
    name: FreeText | None = None
    expires_at: Moment | None = None


class IssuedKey(BaseModel):
    """`secret` is shown once: it is null when the key had been issued before."""

    key_id: str
    account_id: str
    purpose: str
    name: str | None
    allowed: list[str] | None
    cap_total: str | None
    cap_day: str | None
    cap_month: str | None
    expires_at: str | None
    rotates: str | None
    prefix: str
    secret: str | None


ISSUED_BEFORE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Issued before; no secret.", "model": IssuedKey}
}


class KeyView(BaseModel):
    """A key without its secret.

    `spent_…`: what counts against its caps now, null without any; keys that replace each other
    count together. `rotates`: the key it replaces.
    """

    key_id: str
    name: str | None
    purpose: str
    prefix: str
    allowed: list[str] | None
    cap_total: str | None
    cap_day: str | None
    cap_month: str | None
    spent_total: str | None
    spent_day: str | None
    spent_month: str | None
    created_at: str | None
    expires_at: str | None
    rotates: str | None
    status: str


class Keys(BaseModel):
    """A page: active keys first, then the revoked ones, the latest first."""

    keys: list[KeyView]
    next: str | None
    as_of_position: int


class RevokedKey(BaseModel):
    key_id: str
    account_id: str
    status: Literal["revoked"]


def key_view(row: dict[str, Any], unit: str) -> KeyView:
    """A row of the query `keys` as it is shown."""
    amounts = {
        name: None if row[name] is None else decimal_text(int(row[name]), unit)
        for name in (*CAPS, *_SPENT)
    }
    return KeyView(**{name: row[name] for name in KeyView.model_fields} | amounts)


async def keys_of(
    ledger: Ledger, account_id: str, unit: str, after: str | None, limit: int
) -> Keys:
    """A page of an account's keys."""
    facts = await ask(ledger, "keys", account_id, after=after, limit=limit)
    views = [key_view(row, unit) for row in facts["keys"]]
    return Keys(keys=views, next=facts["next"], as_of_position=facts["as_of_position"])


async def row_of(ledger: Ledger, account_id: str, key_id: str) -> dict[str, Any] | None:
    """The ledger's row of one key of an account, None when the account has no such key."""
    rows: list[dict[str, Any]] = (await ask(ledger, "keys", account_id, key_id=key_id))["keys"]
    return next((row for row in rows if row["key_id"] == key_id), None)


@dataclass(frozen=True)
class Wish:
    """A key as it shall be; caps in nanos."""

    purpose: Literal["inference", "account", "service"]
    name: str | None
    allowed: tuple[str, ...] | None
    expires_at: datetime | None
    caps: tuple[int | None, ...] = (None, None, None)
    rotates: str | None = None
    overlap_ms: int = 0


def wish_of(desk: Desk, body: KeyToIssue, unit: str) -> Wish:
    """What was asked for, checked; a misspelt name would make a key that is refused everywhere."""
    catalogue = desk.catalogue
    for name in body.allowed or ():
        if name not in catalogue.models and name not in catalogue.operations:
            raise invalid("allowed", f"the catalogue sells no {name!r}", "unknown_item")
    caps = tuple(
        None if (text := getattr(body, cap)) is None else nanos(text, unit, cap) for cap in CAPS
    )
    allowed = None if body.allowed is None else tuple(body.allowed)
    return Wish(body.purpose, body.name, allowed, body.expires_at, caps)


async def replacement(desk: Desk, account_id: str, key_id: str, body: Rotation) -> Wish:
    """The key that follows an old one."""
    row = await row_of(desk.ledger, account_id, key_id)
    if row is None:
        raise declined({"code": "unknown_key"})
    expires_at = row["expires_at"]
    return Wish(
        purpose=row["purpose"],
        name=body.name or row["name"],
        allowed=None if row["allowed"] is None else tuple(row["allowed"]),
        expires_at=body.expires_at or (expires_at and from_text(expires_at)),
        caps=tuple(None if row[cap] is None else int(row[cap]) for cap in CAPS),
        rotates=key_id,
        overlap_ms=body.overlap_s * 1000,
    )


def key_id_for(verb: str, account_id: str, idempotency_key: str | None) -> str:
    """The id of a key to make: the same for every repeat of one request."""
    if idempotency_key is None:
        return new_id("key")
    return id_of("key", named_uuid(verb, account_id, idempotency_key))


async def issue(
    desk: Desk, account_id: str, unit: str, key_id: str, wish: Wish
) -> tuple[IssuedKey, bool]:
    """Issue a key, and say whether it is new: of a repeat the secret is not told again.

    Raises Conflicting when the id was issued with other contents, Problem, LedgerUnavailable.
    """
    secret = new_secret(partition_of(account_id, desk.catalogue.ledger.partitions))
    command = _command(desk, account_id, key_id, secret, wish)
    try:
        await carry_out(desk.ledger, command, unit)
    except Conflicting:
        known = await _issued_before(desk.ledger, account_id, key_id, wish)
        return _answer(account_id, key_id, unit, wish, known, None), False
    return _answer(account_id, key_id, unit, wish, command.data.prefix, secret), True


async def repeated(
    desk: Desk, account_id: str, unit: str, key_id: str, rotates: str
) -> IssuedKey | None:
    """The key that a rotation made when it was asked for before, None when it was not.

    The old key may be over by now, so what it was cannot be asked for once more.
    """
    row = await row_of(desk.ledger, account_id, key_id)
    if row is None:
        return None
    if row["rotates"] != rotates:
        raise Conflicting
    view = key_view(row, unit).model_dump()
    kept = {name: view[name] for name in IssuedKey.model_fields if name in view}
    return IssuedKey(**kept, account_id=account_id, secret=None)


async def revoke(ledger: Ledger, account_id: str, key_id: str, reason_code: str) -> RevokedKey:
    """End a key at once; repeating it changes nothing."""
    command = RevokeKey(
        caller_id=f"revoke:{key_id}",
        account_id=account_id,
        correlation_id=new_id("req"),
        data=RevokeKeyData(key_id=key_id, reason_code=reason_code),
    )
    await carry_out(ledger, command)
    return RevokedKey(key_id=key_id, account_id=account_id, status="revoked")


def _command(desk: Desk, account_id: str, key_id: str, secret: str, wish: Wish) -> IssueKey:
    head = secret.index("_", len("fb_")) + 1  # the random part may hold underscores too
    cap_total, cap_day, cap_month = wish.caps
    return IssueKey(
        caller_id=key_id,
        account_id=account_id,
        deadline=desk.ledger.ledger_now() + DEADLINE,
        correlation_id=new_id("req"),
        data=IssueKeyData(
            key_id=key_id,
            secret_hash=secret_hash(secret),
            purpose=wish.purpose,
            prefix=secret[: head + _SHOWN],
            allowed=wish.allowed,
            expires_at=wish.expires_at,
            cap_total=cap_total,
            cap_day=cap_day,
            cap_month=cap_month,
            rotates=wish.rotates,
            overlap_ms=wish.overlap_ms,
            name=wish.name,
        ),
    )


async def _issued_before(ledger: Ledger, account_id: str, key_id: str, wish: Wish) -> str:
    """The prefix of the key when it was issued before just so; raises Conflicting otherwise.

    Two secrets never agree, so the ledger sees other contents in every repeat: what the caller
    asked for is compared here.
    """
    row = await row_of(ledger, account_id, key_id)
    if row is None:
        raise Conflicting
    allowed = None if row["allowed"] is None else tuple(row["allowed"])
    caps = tuple(None if row[cap] is None else int(row[cap]) for cap in CAPS)
    expires_at = to_text(wish.expires_at) if wish.expires_at else None
    before = (row["purpose"], allowed, row["expires_at"], caps, row["rotates"])
    if before != (wish.purpose, wish.allowed, expires_at, wish.caps, wish.rotates):
        raise Conflicting
    return str(row["prefix"])


def _answer(
    account_id: str, key_id: str, unit: str, wish: Wish, prefix: str, secret: str | None
) -> IssuedKey:
    caps = [None if cap is None else decimal_text(cap, unit) for cap in wish.caps]
    return IssuedKey(
        key_id=key_id,
        account_id=account_id,
        purpose=wish.purpose,
        name=wish.name,
        allowed=None if wish.allowed is None else list(wish.allowed),
        **dict(zip(CAPS, caps, strict=True)),
        expires_at=to_text(wish.expires_at) if wish.expires_at else None,
        rotates=wish.rotates,
        prefix=prefix,
        secret=secret,
    )
