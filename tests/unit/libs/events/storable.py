"""Wild values, and what a decoded command must be for every column to take it."""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from libs.events.codec import Malformed, decode_command
from libs.events.commands import Command
from libs.events.fields import MAX_MESSAGE
from libs.events.fingerprints import fingerprint
from libs.events.ids import caller_bytes, partition_of, stream_uuid
from libs.events.money import MAX_AMOUNT, MAX_TOTAL
from tests.contract import examples

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
