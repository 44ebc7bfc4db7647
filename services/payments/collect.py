"""Charging recharge attempts off session: at most once each, whatever is lost on the way (RCH-3).

An attempt is looked up at Stripe before anything else. Only when nothing is there is it charged,
under its own id as idempotency key, with parameters that were fixed in its row before. An unknown
outcome leaves it open, and it is looked up again; it is never guessed.
"""

import logging
from datetime import timedelta
from typing import Any

from stripe.params import PaymentIntentCreateParams

from libs.catalogue.book import Catalogue
from libs.runtime.clock import Clock
from libs.runtime.command_client import CommandClient
from libs.runtime.errors import RuntimeFailure
from services.payments.attempts import Attempt, Attempts, Terms
from services.payments.backoff import Backoff
from services.payments.credit import Crediting, NotPaid
from services.payments.customers import Customers
from services.payments.declines import FailureClass, failure_class, reason_code
from services.payments.errors import CardRefused, PaymentsError, StripeRefused
from services.payments.ledger_commands import failure
from services.payments.settings import PaymentsSettings
from services.payments.stripe_api import StripeApi
from services.payments.stripe_objects import Failure, Intent

log = logging.getLogger(__name__)

BATCH = 8
DEFAULT_SHELF_MONTHS = 12
_CLOCKS_DIFFER = timedelta(minutes=5)


class Collector:
    """Drives open attempts to their end. `drive` may be called any number of times."""

    def __init__(
        self,
        settings: PaymentsSettings,
        catalogue: Catalogue,
        attempts: Attempts,
        customers: Customers,
        stripe: StripeApi,
        crediting: Crediting,
        ledger: CommandClient,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._attempts = attempts
        self._customers = customers
        self._stripe = stripe
        self._crediting = crediting
        self._ledger = ledger
        self._clock = clock
        self._backoff = Backoff(settings.retry_first_s, settings.retry_cap_s)

    async def run_due(self) -> int:
        """Look at every open attempt that is due; how many there were."""
        due = await self._attempts.lease(BATCH, self._settings.lease_s)
        for attempt in due:
            try:
                pending = await self.drive(attempt)
            except (PaymentsError, RuntimeFailure) as error:
                pending = str(error)
            except Exception as error:  # one attempt must not keep the others waiting
                log.exception("recharge attempt", extra={"attempt": attempt.attempt_id})
                pending = repr(error)
            if pending is not None:
                wait_s = self._backoff.wait_s(attempt.tries)
                await self._attempts.put_back(attempt.attempt_id, wait_s, pending)
        return len(due)

    async def drive(self, attempt: Attempt) -> str | None:
        """Bring the attempt forward; None when it ended, else why it is still open."""
        intent = await self._look_up(attempt)
        if intent is None:
            why_not = self._too_late(attempt)
            if why_not is not None:
                log.warning("recharge not performed", extra={"attempt": attempt.attempt_id})
                return await self._fail(attempt, "abandoned", why_not, None)
            terms = await self._terms(attempt)
            if terms is None:
                return await self._fail(attempt, "hard", "no_payment_method", None)
            attempt = await self._attempts.freeze(attempt.attempt_id, terms)
            try:
                intent = await self._stripe.charge(charge_params(attempt), attempt.attempt_id)
            except CardRefused as refused:
                if refused.intent is None:
                    raise
                intent = refused.intent
            except StripeRefused as refused:
                return await self._fail(attempt, "hard", reason_code(Failure(refused.code)), None)
        return await self._settle(attempt, intent)

    async def _look_up(self, attempt: Attempt) -> Intent | None:
        if attempt.payment_intent is not None:
            return await self._stripe.intent(attempt.payment_intent)
        since = attempt.started_at - _CLOCKS_DIFFER
        known = await self._customers.get(attempt.account_id)
        customer = attempt.customer or (known.customer if known else None)
        made = await self._stripe.intents_of_attempt(attempt.attempt_id, customer, since)
        paid = [intent for intent in made if intent.status == "succeeded"]
        return next(iter(paid or made), None)

    def _too_late(self, attempt: Attempt) -> str | None:
        """Why an attempt that Stripe knows nothing of must not be charged any more."""
        first_look = attempt.seen_at - attempt.started_at
        if first_look.total_seconds() > self._settings.performed_within_s:
            return "seen_too_late"
        if attempt.frozen_at is None:
            return None
        age = self._clock.now() - attempt.frozen_at
        # An earlier call may be on its way for as long as its key holds; after that the key no
        # longer protects from charging twice.
        return "no_answer" if age.total_seconds() >= self._settings.key_trusted_s else None

    async def _terms(self, attempt: Attempt) -> Terms | None:
        if attempt.customer and attempt.payment_method and attempt.catalogue:
            return Terms(
                attempt.customer,
                attempt.payment_method,
                attempt.pack,
                attempt.shelf_months,
                attempt.catalogue,
            )
        customer = await self._customers.get(attempt.account_id)
        if customer is None or customer.payment_method is None:
            return None
        plan = (await self._ask("balance", attempt.account_id))["plan"]
        policy = (await self._ask("recharge", attempt.account_id))["policy"] or {}
        pack, shelf_months = recharge_terms(self._catalogue, plan, policy.get("pack"))
        return Terms(
            customer.customer, customer.payment_method, pack, shelf_months, self._catalogue.hash
        )

    async def _ask(self, name: str, account_id: str) -> dict[str, Any]:
        answer = await self._ledger.query(
            name,
            {"account_id": account_id},
            account_id=account_id,
            timeout_s=self._settings.ledger_give_up_s,
        )
        data: dict[str, Any] = answer["data"]
        return data

    async def _settle(self, attempt: Attempt, intent: Intent) -> str | None:
        """Act on what the PaymentIntent is: credit it, close it, or wait."""
        if intent.status == "processing":
            return "the payment is being processed"
        why = intent.failure or Failure(f"intent_{intent.status}")
        if intent.status not in ("succeeded", "canceled"):
            # Not terminal: the customer could still pay it later, beside the next attempt.
            intent = await self._stripe.cancel(intent.id)
        if intent.status == "succeeded":
            outcome = await self._crediting.intent(intent.id)
            return outcome.status if isinstance(outcome, NotPaid) else None
        if intent.status != "canceled":
            return f"the payment is {intent.status}"
        kind: FailureClass = failure_class(why)
        if why.code == "intent_requires_action":
            kind = "authentication"
        return await self._fail(attempt, kind, reason_code(why), intent.id)

    async def _fail(
        self, attempt: Attempt, kind: FailureClass, code: str, payment_intent: str | None
    ) -> str | None:
        command = failure(attempt.account_id, attempt.attempt_id, kind, code, payment_intent)
        reply = await self._ledger.send(command, give_up_s=self._settings.ledger_give_up_s)
        if reply.reply == "FailureRecorded" or reply.data.get("code") == "already_closed":
            await self._attempts.failed(attempt.attempt_id, kind, code)
        else:
            reason = f"failure not recorded: {reply.reply} {reply.data.get('code')}"
            log.error("recharge attempt quarantined: %s", reason)
            await self._attempts.quarantined(attempt.attempt_id, reason)
        return None


def charge_params(attempt: Attempt) -> PaymentIntentCreateParams:
    """The charge, of fixed parts of the row only: a repeat must be the same to the letter."""
    assert attempt.customer is not None
    assert attempt.payment_method is not None
    return {
        "amount": attempt.price,
        "currency": attempt.currency.lower(),
        "customer": attempt.customer,
        "payment_method": attempt.payment_method,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "off_session": True,
        "confirm": True,
        "description": "Automatic recharge",
        "metadata": {"attempt_id": attempt.attempt_id, "account_id": attempt.account_id},
    }


def recharge_terms(
    catalogue: Catalogue, plan_name: str, chosen: str | None
) -> tuple[str | None, int | None]:
    """(pack, months of shelf life) of what is bought: the owner's pack, else the plan's.

    A money plan recharges an amount, not a pack; its credits last as long as those of its packs.
    """
    plan = catalogue.plans.get(plan_name)
    pack = chosen or (plan.recharge_pack if plan else None)
    if pack is not None and pack in catalogue.packs:
        return pack, catalogue.packs[pack].shelf_months
    if plan is not None and plan.packs:
        return None, catalogue.packs[plan.packs[0]].shelf_months
    return None, DEFAULT_SHELF_MONTHS
