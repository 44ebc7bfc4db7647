import copy
import hashlib
import json
from typing import Any

import pytest

from libs.events.caller_ids import caller_id_problem
from libs.events.codec import Malformed, decode_command, encode_command
from libs.events.commands import COMMANDS, Command
from libs.events.fields import MAX_COUNT, MAX_MESSAGE
from libs.events.money import MAX_AMOUNT
from tests.contract import examples
from tests.unit.libs.events.storable import decode_checked, encode


def amount_places() -> list[tuple[str, str]]:
    return [
        (kind, name)
        for kind, (_, data) in examples.COMMANDS.items()
        for name, value in data.items()
        if isinstance(value, str) and value.isdigit()
    ] + [("Clawback", "amount")]


@pytest.mark.parametrize(("kind", "name"), amount_places())
@pytest.mark.requirement("CRD-1")
def test_an_amount_is_a_digit_string_within_its_bounds_and_nothing_else(kind, name):
    def with_amount(value: Any) -> Command | Malformed:
        wire = copy.deepcopy(examples.command(kind))
        wire["data"][name] = value
        if kind == "Clawback":
            wire["data"] |= {"returned": None, "paid": None}
        if name == "amount" and kind == "Reserve":
            wire["data"]["at_least"] = "1"
        if kind == "Settle":
            wire["data"] |= {"margin": "0"} if name == "charge" else {}
        return decode_checked(encode(wire))

    assert not isinstance(with_amount("1"), Malformed)
    refused = (1, 1.0, "1.0", "+1", "01", "1e3", " 1", "-1", "", True, [], str(2**63), "9" * 400)
    for bad in refused:
        if not (name == "margin" and bad == "-1"):
            assert isinstance(with_amount(bad), Malformed), bad
    if name != "cost_pico":
        assert isinstance(with_amount(str(MAX_AMOUNT + 1)), Malformed)


def test_the_largest_amount_is_accepted():
    wire = copy.deepcopy(examples.command("GrantCredits"))
    wire["data"]["amount"] = str(MAX_AMOUNT)
    decoded = decode_checked(encode(wire))
    assert decoded.data.amount == MAX_AMOUNT


@pytest.mark.parametrize("bad", ["0", "-5", str(MAX_AMOUNT + 1)])
def test_nothing_is_granted_or_held_out_of_bounds(bad):
    for kind in ("GrantCredits", "Reserve"):
        wire = copy.deepcopy(examples.command(kind))
        wire["data"]["amount"] = bad
        assert isinstance(decode_checked(encode(wire)), Malformed)


def test_a_message_over_16_kib_is_malformed_however_right_it_is():
    raw = encode(examples.command("Settle"))
    padded = raw[:-1] + b" " * (MAX_MESSAGE - len(raw)) + b"}"
    assert len(padded) == MAX_MESSAGE
    assert not isinstance(decode_checked(padded), Malformed)
    assert isinstance(decode_checked(padded[:-1] + b" }"), Malformed)


def test_deep_nesting_is_malformed():
    assert isinstance(decode_checked(b"[" * 8000 + b"]" * 8000), Malformed)
    wire = encode(examples.command("Reserve")).replace(b'"tags": {', b'"tags": ' + b'{"a":' * 2000)
    assert isinstance(decode_checked(wire), Malformed)


@pytest.mark.parametrize(
    "tags",
    [
        {f"k{n}": "v" for n in range(9)},
        {"Key": "v"},
        {"k" * 33: "v"},
        {"": "v"},
        {"k": "v" * 65},
        {"k": "é"},
        {"k": "\t"},
        {"k": 1},
        {"k": None},
        [],
        None,
    ],
)
def test_tags_are_few_short_and_printable(tags):
    wire = examples.command("Reserve")
    assert isinstance(
        decode_checked(encode(wire | {"data": wire["data"] | {"tags": tags}})), Malformed
    )


def test_eight_tags_of_full_length_are_accepted():
    tags = {f"{n}{'k' * 31}": "~" * 64 for n in range(8)}
    wire = examples.command("Reserve")
    decoded = decode_checked(encode(wire | {"data": wire["data"] | {"tags": tags}}))
    assert decoded.data.tags == tags


@pytest.mark.parametrize(
    "usage", [{"a": -1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a b": 1}, {"a": MAX_COUNT + 1}]
)
def test_usage_counts_things_in_whole_numbers(usage):
    wire = examples.command("Settle")
    assert isinstance(
        decode_checked(encode(wire | {"data": wire["data"] | {"usage": usage}})), Malformed
    )


@pytest.mark.parametrize("kind", sorted(examples.DATED))
def test_a_command_that_takes_needs_a_deadline(kind):
    assert isinstance(
        decode_checked(encode(examples.command(kind) | {"deadline": None})), Malformed
    )


@pytest.mark.parametrize("kind", sorted(set(COMMANDS) - examples.DATED))
def test_a_command_that_must_always_pass_has_no_deadline(kind):
    wire = examples.command(kind) | {"deadline": examples.LATER}
    assert isinstance(decode_checked(encode(wire)), Malformed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "Mint"),
        ("kind", None),
        ("kind_version", 2),
        ("kind_version", 0),
        ("kind_version", True),
        ("kind_version", 1.0),
        ("kind_version", "1"),
        ("caller_id", ""),
        ("caller_id", "é"),
        ("caller_id", "a\nb"),
        ("caller_id", "x" * 129),
        ("account_id", "acct_1"),
        ("account_id", "key_" + "0" * 32),
        ("account_id", "part_0"),
        ("correlation_id", None),
        ("correlation_id", "x" * 129),
        ("traceparent", "00-zz"),
        ("data", None),
        ("data", []),
    ],
)
def test_an_envelope_out_of_bounds_is_malformed(field, value):
    wire = examples.command("GrantCredits") | {field: value}
    assert isinstance(decode_checked(encode(wire)), Malformed)


def test_an_error_names_the_place_and_never_what_was_sent():
    wire = copy.deepcopy(examples.command("IssueKey"))
    wire["data"]["secret_hash"] = "fb_0_secret"
    decoded = decode_checked(encode(wire))
    assert isinstance(decoded, Malformed)
    assert "secret_hash" in decoded.error
    assert "fb_0_secret" not in decoded.error


WRONG_CALLERS = [
    ("OpenAccount", "acct_" + "0" * 32),
    ("IssueKey", "key_" + "0" * 32),
    ("Reserve", "anything"),
    ("Settle", "req_" + "0" * 32),
    ("Settle", "settle-again"),
    ("Release", "req_" + "0" * 32),
    ("Extend", f"extend:{examples.RES}:"),
    ("Extend", f"extend:{examples.RES}:x"),
    ("Extend", f"extend:{examples.RES}:01"),
    ("Extend", f"extend:req_{'0' * 32}:1"),
    ("Refund", f"refund:{examples.RES}"),
    ("RevokeKey", "revoke:key_" + "0" * 32),
    ("StartRecharge", "rchg_" + "0" * 32),
    ("RecordRechargeFailure", "failed:rchg_" + "0" * 32),
    ("ReverseClawback", "reverse:dispute:dp_2"),
    ("PublishCatalogue", f"catalogue:{'0' * 64}:0"),
    ("ExpireReservation", "expire:req_" + "0" * 32),
    ("ExpireGrant", f"expire_grant:{examples.ACCOUNT}:2"),
    ("StartIncarnation", "incarnation:3"),
]


@pytest.mark.parametrize(("kind", "caller_id"), WRONG_CALLERS)
def test_a_caller_id_that_is_not_derived_from_its_subject_is_malformed(kind, caller_id):
    """So that a second Settle of one reservation is the same command as the first."""
    wire = examples.command(kind) | {"caller_id": caller_id}
    assert isinstance(decode_checked(encode(wire)), Malformed)


def test_the_sender_is_told_of_a_wrong_caller_id_before_sending():
    command = decode_command(encode(examples.command("Settle")))
    other = command.model_copy(update={"caller_id": "req_" + "0" * 32})
    assert caller_id_problem(other) is not None
    with pytest.raises(ValueError, match="caller_id"):
        encode_command(other)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Reserve", {"at_least": "11448361"}),
        ("Settle", {"margin": "1100001"}),
        ("GrantCredits", {"paid": None}),
        ("GrantCredits", {"payment": None}),
        ("GrantCredits", {"source": "recharge", "attempt_id": None}),
        ("GrantCredits", {"source": "subscription", "expires_at": None}),
        ("GrantCredits", {"source": "admin", "reason_code": None}),
        ("GrantCredits", {"source": "import", "reason_code": None}),
        ("Clawback", {"amount": "1"}),
        ("Clawback", {"returned": None}),
        ("Clawback", {"paid": None}),
        ("Clawback", {"paid": 0, "returned": 0}),
        ("Clawback", {"returned": 1001}),
        ("Clawback", {"payment": None}),
        ("Clawback", {"returned": None, "paid": None}),
    ],
)
def test_a_command_that_contradicts_itself_is_malformed(kind, changes):
    wire = copy.deepcopy(examples.command(kind))
    wire["data"] |= changes
    assert isinstance(decode_checked(encode(wire)), Malformed)


def publishing(text: str, hashed: str | None = None) -> dict[str, Any]:
    wire = examples.command("PublishCatalogue")
    name = hashed or hashlib.sha256(text.encode()).hexdigest()
    data = {**wire["data"], "hash": name, "text": text}
    return {"kind": wire["kind"], **wire, "caller_id": f"catalogue:{name}:0", "data": data}


@pytest.mark.requirement("CRD-6")
def test_a_catalogue_comes_with_the_text_of_its_hash_up_to_its_own_bound():
    whole = json.dumps(publishing('ab"c' * (128 * 1024)), separators=(",", ":")).encode()
    assert not isinstance(decode_command(whole), Malformed)
    longer = json.dumps(publishing("a" * (512 * 1024 + 1)), separators=(",", ":")).encode()
    assert "text" in decode_command(longer).error
    wrong = decode_command(json.dumps(publishing("{}", "0" * 64)).encode())
    assert wrong.error == "hash is not the SHA-256 of text"
    itself = publishing("{}")
    itself["data"]["withdraws"] = [itself["data"]["hash"]]
    assert decode_command(json.dumps(itself).encode()).error == "a catalogue withdraws itself"
