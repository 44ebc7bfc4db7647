import pytest

from libs.events.recharge_commands import RecordRechargeFailureData
from services.payments.declines import failure_class, reason_code
from services.payments.stripe_objects import Failure


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure("card_declined", "generic_decline"), "soft"),
        (Failure("card_declined", "insufficient_funds", "try_again_later"), "soft"),
        (Failure("processing_error"), "soft"),
        (Failure("card_declined", "generic_decline", "do_not_try_again"), "hard"),
        (Failure("card_declined", "stolen_card"), "hard"),
        (Failure("card_declined", "fraudulent"), "hard"),
        (Failure("expired_card", "expired_card"), "hard"),
        (Failure("expired_card"), "hard"),
        (Failure("authentication_required", "authentication_required"), "authentication"),
        (Failure("card_declined", "authentication_required"), "authentication"),
    ],
)
def test_each_decline_has_its_class(failure, kind):
    assert failure_class(failure) == kind


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure("card_declined", "insufficient_funds"), "insufficient_funds"),
        (Failure("expired_card"), "expired_card"),
        (Failure("Weird Code/é"), "weird_code__"),
        (Failure("x" * 200), "x" * 64),
    ],
)
def test_any_code_fits_the_command(failure, code):
    assert reason_code(failure) == code
    RecordRechargeFailureData(
        attempt_id="rchg_" + "0" * 32, class_="soft", code=reason_code(failure), payment=None
    )
