"""Auto-recharge: the policy, the threshold event, and the one open attempt (RCH-2, RCH-3)."""

from datetime import timedelta

from libs.events.commands import (
    ConfigureRecharge,
    RecordRechargeFailure,
    ResumeRecharge,
    StartRecharge,
)
from libs.events.money import (
    CREDIT,
    MAX_AMOUNT,
    MAX_TOTAL,
    NANOS,
    is_integral,
    minor_to_nanos,
)
from libs.events.times import to_text
from services.ledger.domain.draft import Draft
from services.ledger.domain.state import Account, Attempt, Data, Declined, Moment, Recharge

BACK_OFF_HOURS = (1, 6, 24)
"""After the first, second and third soft failure in a row; the fourth suspends (RCH-4)."""


def basis_value(account: Account, policy: Recharge) -> int:
    return account.available if policy.basis == "available" else account.total


def watch(draft: Draft) -> None:
    """Say once that the balance fell below the threshold, until it is armed again."""
    account = draft.account
    policy = account.recharge
    if policy is None or not account.armed or account.freezes:
        return
    if basis_value(account, policy) < policy.threshold:
        draft.add(
            "BalanceFellBelowThreshold",
            {"threshold": str(policy.threshold), "basis": policy.basis},
        )


def rearmed(account: Account, *, at_once: bool) -> Account:
    """Arm again: at once by a grant, else above a margin, so that holds do not flicker."""
    policy = account.recharge
    if policy is None or not policy.enabled or account.armed:
        return account
    margin = 0 if at_once else max(policy.threshold // 10, NANOS)
    if basis_value(account, policy) >= policy.threshold + margin:
        return account._replace(armed=True)
    return account


def decide_configure(draft: Draft, command: ConfigureRecharge) -> Declined | None:
    data, account = command.data, draft.account
    if account.closed:
        return Declined("account_closed")
    for name in ("threshold", "amount"):  # caps are in the currency that is charged
        value = getattr(data, name)
        if value is not None and not is_integral(value, account.unit):
            return Declined("not_integral", parameter=name)
    draft.add(
        "RechargeConfigured",
        {
            "enabled": data.enabled,
            "threshold": str(data.threshold),
            "basis": data.basis,
            "amount": str(data.amount),
            "pack": data.pack,
            "caps": {
                "charge": _text(data.cap_charge),
                "day": _text(data.cap_day),
                "month": _text(data.cap_month),
            },
            "consent": data.consent.model_dump(mode="json") if data.consent else None,
        },
    )
    return None


def _text(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def decide_start(draft: Draft, command: StartRecharge) -> Declined | None:
    """The ledger alone admits a recharge: enabled, needed, none open, within the caps."""
    data, account, now = command.data, draft.account, draft.now
    policy = account.recharge
    if account.closed:
        return Declined("account_closed")
    if account.freezes:
        return Declined("account_frozen")
    if policy is None or not policy.enabled:
        return Declined("recharge_disabled")
    refused = _refuse_start(account, policy, now)
    if refused:
        return refused
    refused = _refuse_price(command, account)
    if refused:
        return refused
    price = minor_to_nanos(data.price.minor, data.price.currency)
    day, month = now.text[:10], now.text[:7]
    day_sum = policy.day_sum if policy.day == day else 0
    month_sum = policy.month_sum if policy.month == month else 0
    for code, cap, total in (
        ("recharge_cap_charge", policy.cap_charge, price),
        ("recharge_cap_day", policy.cap_day, day_sum + price),
        ("recharge_cap_month", policy.cap_month, month_sum + price),
    ):
        if cap is not None and total > cap:
            return Declined(code, required=total, total=cap)
    draft.add(
        "RechargeStarted",
        {
            "attempt_id": data.attempt_id,
            "credits": str(data.credits),
            "price": data.price.model_dump(mode="json"),
            "trigger": data.trigger,
            "windows": {"day": day, "month": month},
        },
    )
    return None


def _refuse_start(account: Account, policy: Recharge, now: Moment) -> Declined | None:
    if policy.attempt is not None:
        return Declined("recharge_open")
    if policy.suspended:
        return Declined("recharge_suspended")
    if policy.next_at is not None and now.text < policy.next_at:
        return Declined("recharge_too_early", until=policy.next_at)
    if basis_value(account, policy) >= policy.threshold:
        return Declined("recharge_not_needed", available=account.available, total=account.total)
    return None


def _refuse_price(command: StartRecharge, account: Account) -> Declined | None:
    """Money is bought in its own currency, credits in any; both must be what a ledger can hold."""
    data = command.data
    if not is_integral(data.credits, account.unit):
        return Declined("not_integral", parameter="credits")
    if account.unit not in (CREDIT, data.price.currency):
        return Declined("unit_mismatch", parameter="price")
    if minor_to_nanos(data.price.minor, data.price.currency) > MAX_AMOUNT:
        return Declined("not_integral", parameter="price")
    return None


def decide_failure(draft: Draft, command: RecordRechargeFailure) -> Declined | None:
    data, policy = command.data, draft.account.recharge
    attempt = policy.attempt if policy else None
    if policy is None or attempt is None or attempt.attempt_id != data.attempt_id:
        return Declined("already_closed" if draft.state.attempted else "unknown_attempt")
    failures, next_at = policy.failures_in_row, None
    suspended = data.class_ in ("hard", "authentication")
    if data.class_ in ("soft", "hard"):
        failures += 1
    if data.class_ == "soft":
        if failures > len(BACK_OFF_HOURS):
            suspended = True
        else:
            next_at = to_text(draft.now.at + timedelta(hours=BACK_OFF_HOURS[failures - 1]))
    draft.add(
        "RechargeFailed",
        {
            "attempt_id": data.attempt_id,
            "class": data.class_,
            "code": data.code,
            "failures_in_row": failures,
            "next_at": next_at,
            "suspended": suspended,
        },
    )
    return None


def decide_resume(draft: Draft, command: ResumeRecharge) -> Declined | None:
    if draft.account.closed:
        return Declined("account_closed")
    if draft.account.recharge is None:
        return Declined("recharge_disabled")
    draft.add("RechargeResumed", {"reason": command.data.reason})
    return None


def evolve_configured(account: Account, data: Data) -> Account:
    caps = data["caps"]
    given = {
        "enabled": data["enabled"],
        "threshold": int(data["threshold"]),
        "basis": data["basis"],
        "amount": int(data["amount"]),
        "pack": data["pack"],
        "cap_charge": _int(caps["charge"]),
        "cap_day": _int(caps["day"]),
        "cap_month": _int(caps["month"]),
    }
    old = account.recharge
    policy = old._replace(**given) if old else Recharge(**given)
    # Armed whatever the balance is: if it is below already, the event follows at once.
    return account._replace(recharge=policy, armed=True if policy.enabled else None)


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def evolve_fell(account: Account) -> Account:
    return account._replace(armed=False)


def _policy(account: Account) -> Recharge:
    if account.recharge is None:
        raise LookupError("no recharge policy on this account")
    return account.recharge


def evolve_started(account: Account, data: Data, occurred_at: str) -> Account:
    policy, price = _policy(account), data["price"]
    amount = minor_to_nanos(price["minor"], price["currency"])
    day, month = data["windows"]["day"], data["windows"]["month"]
    return account._replace(
        recharge=policy._replace(
            attempt=Attempt(
                data["attempt_id"],
                int(data["credits"]),
                price["currency"],
                price["minor"],
                occurred_at,
                day,
                month,
            ),
            day=day,
            day_sum=_sum(policy.day_sum if policy.day == day else 0, amount),
            month=month,
            month_sum=_sum(policy.month_sum if policy.month == month else 0, amount),
        )
    )


def _sum(sum_so_far: int, change: int) -> int:
    return min(MAX_TOTAL, max(0, sum_so_far + change))


def evolve_failed(account: Account, data: Data) -> Account:
    policy = _policy(account)
    attempt = policy.attempt
    back = minor_to_nanos(attempt.minor, attempt.currency) if attempt else 0
    return account._replace(
        recharge=policy._replace(
            attempt=None,
            failures_in_row=data["failures_in_row"],
            next_at=data["next_at"],
            suspended=data["suspended"],
            # A failed attempt charged nothing, so it does not count against the caps.
            day_sum=_sum(policy.day_sum, -back if attempt and attempt.day == policy.day else 0),
            month_sum=_sum(
                policy.month_sum, -back if attempt and attempt.month == policy.month else 0
            ),
        )
    )


def evolve_resumed(account: Account) -> Account:
    policy = _policy(account)
    return account._replace(
        recharge=policy._replace(failures_in_row=0, next_at=None, suspended=False),
        # Armed whatever the balance is: if it is below, the event follows at once.
        armed=True if policy.enabled else None,
    )


def evolve_recharged(account: Account, data: Data) -> Account:
    """A grant that names the open attempt closes it: there is no other success (RCH-5)."""
    policy = account.recharge
    if policy is None or policy.attempt is None:
        return account
    if policy.attempt.attempt_id != data["attempt_id"]:
        return account
    return account._replace(
        recharge=policy._replace(attempt=None, failures_in_row=0, next_at=None, suspended=False)
    )
