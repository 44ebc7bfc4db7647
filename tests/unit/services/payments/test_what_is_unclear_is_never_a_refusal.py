"""A refusal closes a recharge attempt: only what surely had no effect may be one."""

import pytest
import stripe

from services.payments.errors import CardRefused, ObjectMissing, StripeRefused, StripeUnavailable
from services.payments.stripe_api import API_VERSION
from services.payments.stripe_reading import refusals


def raised(error, **how):
    with refusals(**how):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        stripe.APIConnectionError("broken"),
        stripe.APIError("500"),
        stripe.RateLimitError("429"),
        stripe.AuthenticationError("401"),
        stripe.PermissionError("403"),
        stripe.IdempotencyError("other parameters"),
        stripe.InvalidRequestError("busy", None, code="idempotency_key_in_use"),
        stripe.InvalidRequestError("busy", None, code="lock_timeout"),
    ],
)
def test_what_may_have_happened_is_unavailable(error):
    with pytest.raises(StripeUnavailable):
        raised(error)


def test_a_refusal_keeps_its_code():
    with pytest.raises(StripeRefused) as refused:
        raised(stripe.InvalidRequestError("small", "amount", code="amount_too_small"))
    assert refused.value.code == "amount_too_small"
    with pytest.raises(StripeRefused) as nameless:
        raised(stripe.InvalidRequestError("no", None))
    assert nameless.value.code == "invalid_request"
    with pytest.raises(ObjectMissing):
        raised(stripe.InvalidRequestError("gone", "id", code="resource_missing"))


def test_an_expected_refusal_is_passed_over():
    raised(
        stripe.InvalidRequestError("paid", None, code="payment_intent_unexpected_state"),
        unless="payment_intent_unexpected_state",
    )


def test_a_declined_card_carries_what_stripe_said():
    error = stripe.CardError(
        "declined",
        None,
        "card_declined",
        http_status=402,
        json_body={"error": {"code": "card_declined", "decline_code": "lost_card"}},
    )
    with pytest.raises(CardRefused) as refused:
        raised(error)
    assert refused.value.failure.decline_code == "lost_card"
    assert refused.value.intent is None


def test_our_own_errors_pass():
    with pytest.raises(KeyError):
        raised(KeyError("x"))


def test_the_pinned_version_is_the_one_the_sdk_was_made_for():
    """A new SDK reads objects of a new version: move both, after reading its changes."""
    assert stripe.api_version == API_VERSION
