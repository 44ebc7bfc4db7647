import copy
import json

import pytest

from libs.events.codec import Malformed, decode_command
from libs.events.commands import CLASSES, COMMANDS, Command, allowed_class
from libs.events.subjects import COMMAND_CLASSES
from tests.contract import examples


def decoded(kind: str, **changes: object) -> Command:
    wire = copy.deepcopy(examples.command(kind))
    wire["data"] |= changes
    command = decode_command(json.dumps(wire).encode())
    assert not isinstance(command, Malformed), command
    return command


@pytest.mark.parametrize("kind", sorted(set(COMMANDS) - {"GrantCredits", "Clawback"}))
def test_a_command_is_accepted_on_its_classes_alone(kind):
    command = decoded(kind)
    accepted = {cls for cls in COMMAND_CLASSES if allowed_class(command, cls)}
    assert accepted == CLASSES[kind]


@pytest.mark.parametrize("kind", ["ExpireReservation", "ExpireGrant", "StartIncarnation"])
def test_what_the_ledger_tells_itself_nobody_may_send(kind):
    assert not any(allowed_class(decoded(kind), cls) for cls in [*COMMAND_CLASSES, ""])


@pytest.mark.parametrize(
    ("source", "cls"),
    [
        ("purchase", "money"),
        ("recharge", "money"),
        ("subscription", "money"),
        ("reward", "money"),
        ("x402", "money"),
        ("admin", "admin"),
        ("import", "admin"),
    ],
)
@pytest.mark.requirement("CRD-2")
def test_who_may_grant_depends_on_where_the_credits_come_from(source, cls):
    command = decoded("GrantCredits", source=source)
    assert {c for c in COMMAND_CLASSES if allowed_class(command, c)} == {cls}


@pytest.mark.parametrize("source", ["initial", "child", "free"])
@pytest.mark.requirement("CRD-2")
def test_no_command_grants_what_only_the_ledger_makes(source):
    wire = copy.deepcopy(examples.command("GrantCredits"))
    wire["data"]["source"] = source
    assert isinstance(decode_command(json.dumps(wire).encode()), Malformed)


@pytest.mark.parametrize(
    ("changes", "cls"),
    [
        ({"cause": "refund:re_1"}, "money"),
        ({"cause": "dispute:dp_1"}, "money"),
        ({"cause": "adjustment", "amount": "5", "returned": None, "paid": None}, "admin"),
        ({"cause": "write_off", "amount": "5", "returned": None, "paid": None}, "admin"),
    ],
)
def test_who_may_claw_back_depends_on_the_cause(changes, cls):
    command = decoded("Clawback", **changes)
    assert {c for c in COMMAND_CLASSES if allowed_class(command, c)} == {cls}
