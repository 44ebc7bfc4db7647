import pytest

from libs.events import subjects


def test_subjects_are_those_of_the_contract():
    assert subjects.command(2, "use") == "ledger.commands.2.use"
    assert subjects.commands(2) == "ledger.commands.2.*"
    assert subjects.query(0, "installation") == "ledger.queries.0.installation"
    assert subjects.committed(1) == "ledger.committed.1"
    assert subjects.event(1, "CreditsCharged") == "ledger.events.1.CreditsCharged"
    assert subjects.stream(3) == "LEDGER_3"
    assert subjects.quarantine("payments", 2) == "quarantine.payments.2"
    assert subjects.payments_request("order") == "payments.requests.order"


@pytest.mark.parametrize("cls", sorted(subjects.COMMAND_CLASSES))
def test_a_command_subject_gives_its_partition_and_class_back(cls):
    assert subjects.parse_command_subject(subjects.command(17, cls)) == (17, cls)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "ledger.commands.0",
        "ledger.commands.0.use.more",
        "ledger.commands.00.use",
        "ledger.commands.-1.use",
        "ledger.commands.0.root",
        "ledger.commands.0.USE",
        "ledger.commands.0.use\n",
        "ledger.commands.999999.use",
        "ledger.events.0.CreditsCharged",
        "xledger.commands.0.use",
        "ledger.commands.٣.use",
    ],
)
def test_any_other_subject_is_no_command(subject):
    assert subjects.parse_command_subject(subject) is None


def test_a_query_subject_gives_its_partition_and_name_back():
    for name in subjects.QUERY_NAMES:
        assert subjects.parse_query_subject(subjects.query(3, name)) == (3, name)
    assert subjects.parse_query_subject("ledger.queries.3.everything") is None
    assert subjects.parse_query_subject("ledger.commands.3.use") is None
