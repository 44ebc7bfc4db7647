"""Auto-recharge of the account: shown and set (RCH-1)."""

import hashlib
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from libs.catalogue import Plan
from libs.events.commands import ConfigureRecharge, ConfigureRechargeData
from libs.events.fields import Consent
from libs.events.ids import new_id, uuid7
from libs.events.money import CREDIT, NANOS, decimal_text, minor_to_nanos
from services.gateway.billing.consent import CONSENT_TEXT
from services.gateway.billing.context import Billing, MaybeIdempotencyKey, Owner, TheBilling
from services.gateway.fields import AmountText, Body, Moment, invalid, nanos
from services.gateway.keys import KeyInfo
from services.gateway.ledger_calls import ask, carry_out, named_uuid
from services.gateway.problems import Problem

router = APIRouter(prefix="/auto-recharge", tags=["auto-recharge"])

_SKEW: Final = timedelta(minutes=5)
_NAMES: Final = ("auto_recharge_amount", "recharge_threshold")
_USD: Final = "USD"
_CAPS: Final = ("charge", "day", "month")


class Agreement(Body):
    """The text that the owner was shown and agreed to, and when."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    accepted_at: Moment


class Caps(Body):
    """The most that may be charged: at once, in a UTC day, in a UTC month; null: no bound.

    Decimal texts of the currency in which the account pays.
    """

    charge: AmountText | None = None
    day: AmountText | None = None
    month: AmountText | None = None


class AutoRechargeToSet(Body):
    """Amounts are decimal texts of the account's unit; accounts in USD may say `…_usd` instead.

    Turning it on needs an amount, a threshold and the owner's consent. `basis`: whether credits
    held by running requests count for the threshold (`total`) or not (`available`).
    """

    auto_recharge_enabled: bool
    auto_recharge_amount: AmountText | None = None
    recharge_threshold: AmountText | None = None
    auto_recharge_amount_usd: AmountText | None = None
    recharge_threshold_usd: AmountText | None = None
    basis: Literal["available", "total"] = "available"
    caps: Caps = Caps()
    consent: Agreement | None = None


class OpenAttempt(BaseModel):
    attempt_id: str
    credits: str
    started_at: str


class AutoRecharge(BaseModel):
    """How the account is topped up by itself. The `…_usd` fields are there for USD accounts.

    `suspended`: it waits for another card or the operator; `next_at`: not before then.
    """

    auto_recharge_enabled: bool
    auto_recharge_amount: str | None
    recharge_threshold: str | None
    auto_recharge_amount_usd: str | None = None
    recharge_threshold_usd: str | None = None
    unit: str
    basis: str
    pack: str | None
    caps: Caps
    suspended: bool
    next_at: str | None
    failures_in_row: int
    open_attempt: OpenAttempt | None
    consent_text: str
    as_of_position: int


@router.get("", response_model_exclude_unset=True)
async def show_auto_recharge(billing: TheBilling, key: Owner) -> AutoRecharge:
    """What is set, and what came of it."""
    return _view(key, await ask(billing.ledger, "recharge", key.account_id))


@router.put("", response_model_exclude_unset=True)
async def set_auto_recharge(
    billing: TheBilling,
    key: Owner,
    body: AutoRechargeToSet,
    idempotency_key: MaybeIdempotencyKey = None,
) -> AutoRecharge:
    """Set all of it; what is left out is not set. Turned off, nothing is bought any more."""
    data = _data(billing, key, body)
    if idempotency_key is None:
        caller = uuid7()
    else:
        caller = named_uuid("auto-recharge", key.account_id, idempotency_key)
    command = ConfigureRecharge(
        caller_id=str(caller),
        account_id=key.account_id,
        correlation_id=new_id("req"),
        data=data,
    )
    await carry_out(billing.ledger, command, key.unit)
    return _view(key, await ask(billing.ledger, "recharge", key.account_id))


def _data(billing: Billing, key: KeyInfo, body: AutoRechargeToSet) -> ConfigureRechargeData:
    enabled = body.auto_recharge_enabled
    texts = {name: _text(body, name, key.unit) for name in _NAMES}
    for name, text in texts.items():
        if enabled and text is None:
            raise invalid(name, "needed to turn auto-recharge on")
    smallest = NANOS if key.unit == CREDIT else minor_to_nanos(1, key.unit)
    least = smallest if enabled else 0
    amount = nanos(texts[_NAMES[0]] or "0", key.unit, _NAMES[0], least=least)
    if amount % smallest:
        raise invalid(_NAMES[0], "a card cannot be charged a part of the smallest coin")
    return ConfigureRechargeData(
        enabled=enabled,
        threshold=nanos(texts[_NAMES[1]] or "0", key.unit, _NAMES[1], least=0),
        basis=body.basis,
        amount=amount,
        pack=_pack(billing.plan_of(key)) if enabled else None,
        consent=_consent(billing, body),
        **{f"cap_{name}": _cap(body.caps, name) for name in _CAPS},
    )


def _cap(caps: Caps, name: str) -> int | None:
    """A cap in nanos of money: a part of the smallest coin bounds as well as a whole one."""
    text: str | None = getattr(caps, name)
    return None if text is None else nanos(text, _USD, f"caps.{name}")


def _text(body: AutoRechargeToSet, name: str, unit: str) -> str | None:
    """The amount under either name; they must not differ."""
    plain: str | None = getattr(body, name)
    usd: str | None = getattr(body, f"{name}_usd")
    if usd is None:
        return plain
    if unit != _USD:
        raise invalid(f"{name}_usd", f"the account is in {unit}", "unit_mismatch")
    if plain is not None and plain != usd:
        raise invalid(name, f"differs from {name}_usd")
    return usd


def _pack(plan: Plan) -> str | None:
    """Credits have no price of their own: a pack of the plan gives them one."""
    if plan.unit != CREDIT:
        return None
    if plan.recharge_pack is None:
        detail = f"The plan {plan.name!r} has no pack that auto-recharge could buy."
        raise Problem(409, "recharge_not_offered", detail)
    return plan.recharge_pack


def _consent(billing: Billing, body: AutoRechargeToSet) -> Consent | None:
    if body.consent is None:
        if body.auto_recharge_enabled:
            detail = "consent: the text that was agreed to and when, needed to turn it on"
            raise Problem(422, "consent_required", detail, consent_text=CONSENT_TEXT)
        return None
    if body.consent.accepted_at > billing.ledger.ledger_now() + _SKEW:
        raise invalid("consent.accepted_at", "lies in the future")
    text_hash = hashlib.sha256(body.consent.text.encode()).hexdigest()
    return Consent(text_hash=text_hash, at=body.consent.accepted_at)


def _view(key: KeyInfo, facts: dict[str, Any]) -> AutoRecharge:
    policy = facts["policy"] or {"enabled": False, "basis": "available", "pack": None}
    amounts = {
        "auto_recharge_amount": _decimal(policy.get("amount"), key.unit),
        "recharge_threshold": _decimal(policy.get("threshold"), key.unit),
    }
    if key.unit == _USD:
        amounts |= {f"{name}_usd": text for name, text in amounts.items()}
    attempt, caps = facts["open_attempt"], policy.get("caps", {})
    return AutoRecharge(
        auto_recharge_enabled=policy["enabled"],
        **amounts,
        unit=key.unit,
        basis=policy["basis"],
        pack=policy["pack"],
        caps=Caps(**{name: _decimal(caps.get(name), _USD) for name in _CAPS}),
        suspended=facts["suspended"],
        next_at=facts["next_at"],
        failures_in_row=facts["failures_in_row"],
        open_attempt=None if attempt is None else _attempt(attempt, key.unit),
        consent_text=CONSENT_TEXT,
        as_of_position=facts["as_of_position"],
    )


def _attempt(attempt: dict[str, Any], unit: str) -> OpenAttempt:
    return OpenAttempt(
        attempt_id=attempt["attempt_id"],
        credits=decimal_text(int(attempt["credits"]), unit),
        started_at=attempt["started_at"],
    )


def _decimal(amount: str | None, unit: str) -> str | None:
    return None if amount is None else decimal_text(int(amount), unit)
