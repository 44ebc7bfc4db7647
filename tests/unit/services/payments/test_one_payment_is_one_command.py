from dataclasses import replace

from libs.events.codec import decode_command, encode_command
from libs.events.commands import GrantCredits
from libs.events.fingerprints import fingerprint
from services.payments import ledger_commands
from services.payments.due import Due

ACCOUNT = "acct_" + "1" * 32
ATTEMPT = "rchg_" + "2" * 32
PURCHASE = Due(
    source="purchase",
    row_id="topup_" + "3" * 32,
    account_id=ACCOUNT,
    customer="cus_1",
    currency="USD",
    price=200,
    credits=100_000_000_000,
    pack="credits-100",
    shelf_months=12,
    catalogue="a" * 64,
    livemode=False,
)


def test_a_grant_carries_what_was_paid_and_its_id_is_the_payment():
    command = decode_command(encode_command(ledger_commands.grant(PURCHASE, "pi_1")))
    assert isinstance(command, GrantCredits)
    assert command.caller_id == "topup:pi_1"
    assert (command.data.source, command.data.amount) == ("purchase", 100_000_000_000)
    assert (command.data.paid.currency, command.data.paid.minor) == ("USD", 200)
    assert (command.data.payment, command.data.attempt_id) == ("pi_1", None)
    assert (command.data.shelf_months, command.data.pack) == (12, "credits-100")


def test_a_recharge_names_its_attempt():
    due = replace(PURCHASE, source="recharge", row_id=ATTEMPT, pack=None)
    command = decode_command(encode_command(ledger_commands.grant(due, "pi_2")))
    assert (command.data.source, command.data.attempt_id) == ("recharge", ATTEMPT)


def test_another_catalogue_does_not_make_it_another_fact():
    other = replace(PURCHASE, catalogue="b" * 64)
    assert fingerprint(ledger_commands.grant(PURCHASE, "pi_1")) == fingerprint(
        ledger_commands.grant(other, "pi_1")
    )


def test_a_failure_is_known_by_its_attempt():
    command = ledger_commands.failure(ACCOUNT, ATTEMPT, "soft", "generic_decline", "pi_1")
    decoded = decode_command(encode_command(command))
    assert decoded.caller_id == f"failed:{ATTEMPT}"
    assert decoded.data.class_ == "soft"
