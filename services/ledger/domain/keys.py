"""API keys: the ledger knows a key's id, purpose and standing, never its secret (ACC-2)."""

from datetime import timedelta
from sys import intern

from libs.events.commands import IssueKey, RevokeKey
from libs.events.money import is_integral
from libs.events.times import to_text
from services.ledger.domain.draft import Draft
from services.ledger.domain.notes import note_id
from services.ledger.domain.state import Account, Data, Declined, Key, Moment

MAX_LIVE_KEYS = 100
CAPS = ("cap_total", "cap_day", "cap_month")


def is_live(key: Key, now: str) -> bool:
    return not key.revoked and (key.expires_at is None or key.expires_at > now)


def refuse_key(account: Account, key_id: str, operation: str, now: str) -> Declined | None:
    """Why this key may not pay for this operation at this moment, None when it may (ACC-3)."""
    ended = refuse_ended(account, key_id, now)
    if ended:
        return ended
    key = account.keys[key_id]
    if key.purpose == "account":
        return Declined("key_not_allowed", parameter="purpose")
    if key.allowed is not None and operation not in key.allowed:
        return Declined("key_not_allowed", parameter="operation")
    return None


def refuse_ended(account: Account, key_id: str, now: str) -> Declined | None:
    """Why this key may take nothing more, whatever for."""
    key = account.keys.get(key_id)
    if key is None:
        return Declined("unknown_key")
    if key.revoked:
        return Declined("key_revoked")
    if key.expires_at is not None and key.expires_at <= now:
        return Declined("key_expired", until=key.expires_at)
    return None


def decide_issue(draft: Draft, command: IssueKey) -> Declined | None:
    data, account, now = command.data, draft.account, draft.now
    if account.closed:
        return Declined("account_closed")
    if account.freezes:
        return Declined("account_frozen")
    for cap in CAPS:
        value = getattr(data, cap)
        if value is not None and not is_integral(value, account.unit):
            return Declined("not_integral", parameter=cap)
    if sum(is_live(key, now.text) for key in account.keys.values()) >= MAX_LIVE_KEYS:
        return Declined("too_many_keys")
    expires_at = to_text(data.expires_at) if data.expires_at else None
    if expires_at is not None and expires_at <= now.text:
        return Declined("key_expired", until=expires_at, parameter="expires_at")
    lineage, old_expires_at = data.key_id, None
    if data.rotates is not None:
        old = account.keys.get(data.rotates)
        if old is None or not is_live(old, now.text):
            return Declined("unknown_key", parameter="rotates")
        lineage, old_expires_at = old.lineage, _overlap_end(old, data.overlap_ms, now)
    draft.add(
        "KeyIssued",
        {
            "key_id": data.key_id,
            "lineage": lineage,
            "secret_hash": data.secret_hash,
            "purpose": data.purpose,
            "prefix": data.prefix,
            "allowed": list(data.allowed) if data.allowed is not None else None,
            **{cap: _text(getattr(data, cap)) for cap in CAPS},
            "expires_at": expires_at,
            "rotates": data.rotates,
            "old_expires_at": old_expires_at,
            "note_id": note_id(command),
        },
    )
    return None


def _text(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def _overlap_end(old: Key, overlap_ms: int, now: Moment) -> str:
    end = to_text(now.at + timedelta(milliseconds=overlap_ms))
    return end if old.expires_at is None else min(end, old.expires_at)


def decide_revoke(draft: Draft, command: RevokeKey) -> Declined | None:
    data = command.data
    if data.key_id not in draft.account.keys:
        return Declined("unknown_key", parameter="key_id")
    draft.add("KeyRevoked", {"key_id": data.key_id, "reason_code": data.reason_code})
    return None


def evolve_issued(account: Account, data: Data) -> Account:
    allowed = data["allowed"]
    key = Key(
        key_id=data["key_id"],
        lineage=data["lineage"],
        purpose=intern(data["purpose"]),
        allowed=tuple(allowed) if allowed is not None else None,
        expires_at=data["expires_at"],
        revoked=False,
        **{cap: int(data[cap]) for cap in CAPS if data[cap] is not None},
    )
    keys = {**account.keys, key.key_id: key}
    if data["rotates"] is not None:
        keys[data["rotates"]] = keys[data["rotates"]]._replace(expires_at=data["old_expires_at"])
    return account._replace(keys=keys)


def evolve_revoked(account: Account, data: Data) -> Account:
    key = account.keys[data["key_id"]]
    return account._replace(keys={**account.keys, key.key_id: key._replace(revoked=True)})
