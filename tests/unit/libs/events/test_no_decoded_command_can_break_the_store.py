"""Whatever bytes arrive, decoding answers; and what it lets through fits every column."""

import copy
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from libs.events.caller_ids import caller_id_problem
from libs.events.codec import Malformed, decode_command, encode_command
from libs.events.commands import COMMANDS, Command
from libs.events.fields import MAX_COUNT, MAX_MESSAGE
from libs.events.fingerprints import fingerprint
from libs.events.ids import caller_bytes, partition_of, stream_uuid
from libs.events.money import MAX_AMOUNT, MAX_TOTAL
from tests.contract import examples

kinds = st.sampled_from(list(COMMANDS))
NASTY: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    0.1,
    1e308,
    2**53,
    2**62 + 1,
    2**63,
    2**64,
    10**400,
    "",
    "0",
    "-1",
    "1",
    "+1",
    "01",
    "1.0",
    "1e3",
    " 1",
    "1\n",
    "٣",
    str(MAX_AMOUNT),
    str(MAX_AMOUNT + 1),
    str(MAX_TOTAL + 1),
    "9" * 19,
    "9" * 400,
    "\x00",
    "a\x00b",
    "\ud800",
    "é",
    "x" * 129,
    "x" * 5000,
    [],
    {},
    [[]],
    ["\x00"],
    {"\x00": "x"},
    {"k": "\x00"},
    {"a": 1.5},
    {str(n): 1 for n in range(200)},
    {"k" * 33: "v"},
    [None] * 1000,
    "2026-11-20T19:10:38.000123Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-20",
    examples.RES,
    examples.ACCOUNT.upper(),
    "part_0",
    "part_99999999",
]


def encode(wire: Any) -> bytes:
    return json.dumps(wire, ensure_ascii=True).encode()


def leaves(value: Any) -> list[Any]:
    if isinstance(value, BaseModel):
        return [leaf for name in type(value).model_fields for leaf in leaves(getattr(value, name))]
    if isinstance(value, dict):
        return [leaf for pair in value.items() for part in pair for leaf in leaves(part)]
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


def check_storable(command: Command) -> None:
    for leaf in leaves(command):
        assert not isinstance(leaf, float)
        if isinstance(leaf, bool) or leaf is None:
            continue
        if isinstance(leaf, int):
            assert -(2**63) <= leaf < 2**63
        elif isinstance(leaf, datetime):
            assert leaf.utcoffset() is not None
            assert 2000 <= leaf.year < 3000
        else:
            assert "\x00" not in leaf
            leaf.encode("utf-8")
    assert 1 <= len(command.caller_id) <= 128
    assert command.caller_id.isascii()
    assert command.caller_id.isprintable()
    assert len(caller_bytes(command.caller_id)) == 16
    assert len(stream_uuid(command.account_id).bytes) == 16
    if command.account_id.startswith("acct_"):
        assert 0 <= partition_of(command.account_id, 4) < 4
    assert len(fingerprint(command)) == 32
    assert len(command.model_dump_json()) <= MAX_MESSAGE


def decode_checked(raw: bytes) -> Command | Malformed:
    decoded = decode_command(raw)
    if isinstance(decoded, Malformed):
        assert 0 < len(decoded.error) <= 300
        assert decoded.error.isascii()
        assert decoded.error.isprintable()
    else:
        check_storable(decoded)
    return decoded


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, part in value.items():
            found += places(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            found += places(part, (*path, index))
    return found


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_full_example_of_every_command_decodes_and_encodes_back(kind):
    decoded = decode_checked(encode(examples.command(kind)))
    assert isinstance(decoded, COMMANDS[kind]), decoded
    assert json.loads(encode_command(decoded)) == examples.command(kind)
    assert decode_command(encode_command(decoded)) == decoded


@given(st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_malformed(raw):
    assert isinstance(decode_checked(raw), Malformed)


@given(kinds, st.data())
@settings(max_examples=500, deadline=None)
def test_a_command_with_mutated_bytes_is_malformed_or_within_all_bounds(kind, data):
    raw = bytearray(encode(examples.command(kind)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["set", "cut", "put", "double"])):
            case "set":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 20))]
            case "put":
                raw[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "double":
                raw[at:at] = raw[at : at + data.draw(st.integers(1, 200))]
        if not raw:
            break
    decode_checked(bytes(raw))


@pytest.mark.parametrize("kind", COMMANDS)
def test_any_nasty_value_in_any_place_is_malformed_or_within_all_bounds(kind):
    for path in places(examples.command(kind)):
        for nasty in NASTY:
            wire = copy.deepcopy(examples.command(kind))
            part = wire
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = nasty
            decode_checked(encode(wire))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_that_lacks_any_field_is_malformed(kind):
    for path in places(examples.command(kind)):
        wire = copy.deepcopy(examples.command(kind))
        part = wire
        for step in path[:-1]:
            part = part[step]
        if isinstance(part, dict) and path[-2:-1] not in {("tags",), ("usage",)}:
            del part[path[-1]]
            assert isinstance(decode_checked(encode(wire)), Malformed), path


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_field_that_the_contract_does_not_name_is_malformed(kind):
    for path in [(), ("data",)]:
        wire = copy.deepcopy(examples.command(kind))
        (wire["data"] if path else wire)["extra"] = None
        assert isinstance(decode_checked(encode(wire)), Malformed)


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
