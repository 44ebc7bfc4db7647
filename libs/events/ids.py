"""Ids: a prefix, an underscore and the 32 lower hex digits of a uuid."""

import hashlib
import os
import re
import secrets
import time
import zlib
from typing import Final
from uuid import UUID

PREFIXES: Final = frozenset({"acct", "key", "req", "grant", "topup", "rchg", "note"})

_ID: Final = re.compile(r"([a-z]{1,16})_([0-9a-f]{32})")
_BARE: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STREAM: Final = re.compile(r"part_(0|[1-9][0-9]{0,4})")
_SECRET: Final = re.compile(r"fb_(0|[1-9][0-9]{0,4})_[A-Za-z0-9_-]{43}")


def uuid7() -> UUID:
    """A new uuid of version 7 (RFC 9562): ids made later sort later, to a quarter microsecond."""
    millis, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    low = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(int=(millis << 80) | (0x7 << 76) | (fraction << 64) | (0x2 << 62) | low)


def uuid8(digest: bytes) -> UUID:
    """The uuid of version 8 made of 16 bytes of a digest."""
    value = int.from_bytes(digest[:16])
    return UUID(int=(value & ~(0xF << 76) & ~(0x3 << 62)) | (0x8 << 76) | (0x2 << 62))


def new_id(prefix: str) -> str:
    """A new id; ValueError for a prefix that is not one of ours."""
    return id_of(prefix, uuid7())


def id_of(prefix: str, value: UUID) -> str:
    """The text of an id; ValueError for a prefix that is not one of ours."""
    if prefix not in PREFIXES:
        raise ValueError(f"unknown id prefix {prefix!r}")
    return f"{prefix}_{value.hex}"


def parse_id(text: str, prefix: str | None = None) -> UUID:
    """The uuid in an id; ValueError when it is malformed or has another prefix."""
    match = _ID.fullmatch(text)
    if match is None or match[1] not in PREFIXES or (prefix is not None and match[1] != prefix):
        raise ValueError(f"not an id{f' with prefix {prefix}' if prefix else ''}: {text[:64]!r}")
    return UUID(hex=match[2])


def is_id(text: str, prefix: str | None = None) -> bool:
    match = _ID.fullmatch(text)
    return match is not None and match[1] in PREFIXES and prefix in {None, match[1]}


def caller_bytes(caller_id: str) -> bytes:
    """The 16 bytes under which a command is remembered.

    An id or a plain lower-case uuid gives the uuid's own bytes, so the index grows at its edge;
    any other text gives the first half of its SHA-256.
    """
    if _ID.fullmatch(caller_id):
        return bytes.fromhex(caller_id[-32:])
    if _BARE.fullmatch(caller_id):
        return UUID(caller_id).bytes
    return hashlib.sha256(caller_id.encode()).digest()[:16]


def account_for_external_id(external_id: str) -> str:
    """The account id that an external id always gets, so opening twice is one account."""
    digest = hashlib.sha256(f"account:{external_id}".encode()).digest()
    return id_of("acct", uuid8(digest))


def partition_of(account_id: str, partitions: int) -> int:
    """The partition of an account; a partition's own stream lives in that partition.

    Raises ValueError for anything that is neither, or a stream beyond `partitions`.
    """
    account = _ID.fullmatch(account_id)
    if account is not None and account[1] == "acct":
        return partition_of_bytes(bytes.fromhex(account[2]), partitions)
    stream = _STREAM.fullmatch(account_id)
    if stream is None:
        raise ValueError(f"not an account id: {account_id[:64]!r}")
    partition = int(stream[1])
    if partition >= partitions:
        raise ValueError(f"{account_id} is not one of {partitions} partitions")
    return partition


def partition_of_bytes(account: bytes, partitions: int) -> int:
    """The partition of an account by the 16 bytes of its uuid."""
    return zlib.crc32(account) % partitions


def partition_stream(partition: int) -> str:
    """The stream id of the partition's own events."""
    return f"part_{partition}"


def stream_uuid(account_id: str) -> UUID:
    """The uuid of an account or of a partition's own stream; ValueError for anything else."""
    if _STREAM.fullmatch(account_id):
        return uuid8(hashlib.sha256(account_id.encode()).digest())
    return parse_id(account_id, "acct")


def event_id(incarnation: int, partition: int, position: int) -> str:
    """The name of one event, also across restored logs."""
    return f"{incarnation}-{partition}-{position}"


def new_secret(partition: int) -> str:
    """A new API key: its partition and 256 random bits."""
    return f"fb_{partition}_{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> str:
    """Hex SHA-256 of the whole key text: the only form of a key that is ever stored."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def secret_partition(secret: str) -> int:
    """The partition named in a key; ValueError when the text cannot be a key of ours."""
    match = _SECRET.fullmatch(secret)
    if match is None:
        raise ValueError("not an API key")
    return int(match[1])
