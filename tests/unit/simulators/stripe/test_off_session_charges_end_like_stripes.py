import pytest
import stripe


async def test_a_saved_card_pays(client, charge):
    intent = await client.v1.payment_intents.create_async(charge)
    assert (intent.status, intent.amount_received, intent.currency) == ("succeeded", 800, "usd")
    assert intent.metadata["attempt_id"] == "rchg_1"
    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


@pytest.mark.parametrize(
    ("token", "code", "decline", "advice"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", None),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
            "try_again_later",
        ),
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            "card_declined",
            "stolen_card",
            "do_not_try_again",
        ),
        (
            "pm_card_authenticationRequired",
            "authentication_required",
            "authentication_required",
            None,
        ),
    ],
)
async def test_a_refused_charge_is_a_402_with_its_intent(
    client, fake, charge, token, code, decline, advice
):
    fake.methods.behave_like(charge["payment_method"], token)
    with pytest.raises(stripe.CardError) as refused:
        await client.v1.payment_intents.create_async(charge)
    error = refused.value.error
    assert (refused.value.http_status, error.code, error.decline_code) == (402, code, decline)
    assert getattr(error, "advice_code", None) == advice
    intent = await client.v1.payment_intents.retrieve_async(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == decline
    assert intent.amount_received == 0


async def test_a_card_of_another_customer_is_refused(client, charge):
    stranger = await client.v1.customers.create_async({})
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.create_async({**charge, "customer": stranger.id})


async def test_cancelling_is_final_and_refused_once_paid(client, fake, charge):
    paid = await client.v1.payment_intents.create_async(charge)
    with pytest.raises(stripe.InvalidRequestError) as kept:
        await client.v1.payment_intents.cancel_async(paid.id)
    assert kept.value.code == "payment_intent_unexpected_state"
    fake.methods.behave_like(charge["payment_method"], "pm_card_visa_chargeDeclined")
    with pytest.raises(stripe.CardError) as refused:
        await client.v1.payment_intents.create_async(charge)
    ident = refused.value.error.payment_intent.id
    assert (await client.v1.payment_intents.cancel_async(ident)).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.confirm_async(ident, {"payment_method": "pm_card_visa"})


async def test_card_numbers_are_refused(client):
    number = {"number": "4242424242424242", "exp_month": 1, "exp_year": 2034, "cvc": "123"}
    with pytest.raises(stripe.CardError):
        await client.v1.payment_methods.create_async({"type": "card", "card": number})


async def test_a_call_without_a_secret_key_is_401(browser):
    assert (await browser.get("/v1/events")).status_code == 401
