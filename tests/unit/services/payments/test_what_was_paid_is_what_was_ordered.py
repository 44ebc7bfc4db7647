from dataclasses import replace

import pytest

from services.payments.due import Due, intent_mismatch, session_mismatch
from services.payments.stripe_objects import Intent, Session

DUE = Due(
    source="purchase",
    row_id="topup_1",
    account_id="acct_1",
    customer="cus_1",
    currency="USD",
    price=200,
    credits=100_000_000_000,
    pack="credits-100",
    shelf_months=12,
    catalogue="0" * 64,
    livemode=False,
)
INTENT = Intent(
    id="pi_1",
    status="succeeded",
    amount=200,
    amount_received=200,
    currency="USD",
    customer="cus_1",
    payment_method="pm_1",
    livemode=False,
    metadata={"order_id": "topup_1"},
    reusable=True,
    failure=None,
)
SESSION = Session(
    id="cs_1",
    mode="payment",
    status="complete",
    payment_status="paid",
    amount_subtotal=200,
    amount_total=200,
    currency="USD",
    customer="cus_1",
    client_reference_id="topup_1",
    livemode=False,
    intent_id="pi_1",
    setup_intent_id=None,
    url=None,
)


def test_a_payment_as_ordered_matches():
    assert intent_mismatch(DUE, INTENT) is None
    assert session_mismatch(DUE, SESSION) is None


@pytest.mark.requirement("PAY-2")
@pytest.mark.parametrize(
    "change",
    [
        {"amount": 199},
        {"amount_received": 1},
        {"amount_received": 201},
        {"currency": "EUR"},
        {"customer": "cus_2"},
        {"customer": None},
        {"livemode": True},
    ],
)
def test_a_payment_that_differs_in_anything_does_not(change):
    assert next(iter(change)) in intent_mismatch(DUE, replace(INTENT, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"amount_subtotal": 100},
        {"amount_total": 199},
        {"amount_total": None},
        {"currency": "EUR"},
        {"currency": None},
        {"client_reference_id": "topup_2"},
        {"customer": "cus_2"},
        {"livemode": True},
    ],
)
def test_a_session_that_differs_in_anything_does_not(change):
    assert next(iter(change)) in session_mismatch(DUE, replace(SESSION, **change))
