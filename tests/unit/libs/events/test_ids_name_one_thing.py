import hashlib
import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import ids

uuids = st.uuids()


def test_a_new_uuid_is_of_version_7_and_later_ones_sort_later():
    made = [ids.uuid7() for _ in range(2000)]
    assert {value.version for value in made} == {7}
    assert {value.variant for value in made} == {"specified in RFC 4122"}
    assert len(set(made)) == 2000
    # The random part may swap two of the same quarter microsecond, never more.
    assert [value.int >> 64 for value in made] == sorted(value.int >> 64 for value in made)


def test_a_uuid7_holds_the_time_in_milliseconds(monkeypatch):
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_795_201_838_000_999_999)
    value = ids.uuid7().int
    assert value >> 80 == 1_795_201_838_000
    assert (value >> 64) & 0xFFF == 4095


@given(uuids, st.sampled_from(sorted(ids.PREFIXES)))
def test_an_id_gives_its_uuid_back(value, prefix):
    text = ids.id_of(prefix, value)
    assert ids.parse_id(text) == ids.parse_id(text, prefix) == value
    assert ids.is_id(text)
    assert ids.is_id(text, prefix)
    assert not any(ids.is_id(text, other) for other in ids.PREFIXES - {prefix})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acct",
        "acct_",
        "acct_" + "0" * 31,
        "acct_" + "0" * 33,
        "acct_" + "A" * 32,
        "ACCT_" + "0" * 32,
        "user_" + "0" * 32,
        " acct_" + "0" * 32,
        "acct_" + "0" * 32 + "\n",
        "acct_" + "٣" * 32,
    ],
)
def test_what_is_not_an_id_is_refused(text):
    assert not ids.is_id(text)
    with pytest.raises(ValueError):
        ids.parse_id(text)


def test_a_foreign_prefix_is_refused():
    with pytest.raises(ValueError):
        ids.parse_id(ids.new_id("key"), "acct")
    with pytest.raises(ValueError):
        ids.new_id("user")


@given(uuids)
def test_the_caller_bytes_of_an_id_or_uuid_are_the_uuid(value):
    assert ids.caller_bytes(ids.id_of("req", value)) == value.bytes
    assert ids.caller_bytes(str(value)) == value.bytes


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128))
def test_the_caller_bytes_of_any_other_text_are_half_its_hash(text):
    if not (ids.is_id(text) or text.count("-") == 4):
        assert ids.caller_bytes(text) == hashlib.sha256(text.encode()).digest()[:16]


def test_an_external_id_always_gets_the_same_account():
    account = ids.account_for_external_id("customer-7")
    assert account == ids.account_for_external_id("customer-7")
    assert account != ids.account_for_external_id("customer-8")
    value = ids.parse_id(account, "acct")
    assert value.version == 8
    digest = hashlib.sha256(b"account:customer-7").digest()[:16]
    # Only the bits that say "version 8" differ from the hash.
    assert value.int ^ int.from_bytes(digest) <= (0xF << 76) | (0x3 << 62)
    assert account == "acct_413a70f387fc85ed886351d7fa5793d0"


@given(uuids, st.integers(1, 64))
def test_an_account_has_one_partition(value, partitions):
    partition = ids.partition_of(ids.id_of("acct", value), partitions)
    assert partition == zlib.crc32(value.bytes) % partitions


def test_accounts_spread_over_the_partitions():
    counts = [0] * 4
    for _ in range(2000):
        counts[ids.partition_of(ids.new_id("acct"), 4)] += 1
    assert min(counts) > 350


def test_a_partitions_own_stream_lives_in_that_partition():
    assert ids.partition_of(ids.partition_stream(3), 4) == 3
    with pytest.raises(ValueError):
        ids.partition_of(ids.partition_stream(4), 4)


@pytest.mark.parametrize("text", ["part_", "part_01", "part_-1", "part_x", "key_" + "0" * 32])
def test_only_accounts_and_partitions_are_streams(text):
    with pytest.raises(ValueError):
        ids.partition_of(text, 4)
    with pytest.raises(ValueError):
        ids.stream_uuid(text)


def test_a_stream_has_one_uuid():
    account = ids.new_id("acct")
    assert ids.stream_uuid(account) == ids.parse_id(account)
    own = {ids.stream_uuid(ids.partition_stream(p)) for p in range(100)}
    assert len(own) == 100
    assert {value.version for value in own} == {8}
    assert isinstance(ids.stream_uuid("part_0"), UUID)


def test_an_event_is_named_by_where_it_stands():
    assert ids.event_id(1, 2, 345) == "1-2-345"


@pytest.mark.requirement("ACC-2")
def test_a_secret_is_256_random_bits_and_names_its_partition():
    secrets = {ids.new_secret(7) for _ in range(500)}
    assert len(secrets) == 500
    for secret in secrets:
        assert secret.startswith("fb_7_")
        assert len(secret) == len("fb_7_") + 43
        assert ids.secret_partition(secret) == 7


def test_the_hash_of_a_secret_is_over_the_whole_text():
    assert ids.secret_hash("fb_0_abc") == hashlib.sha256(b"fb_0_abc").hexdigest()
    assert ids.secret_hash("fb_1_abc") != ids.secret_hash("fb_0_abc")


def test_any_header_text_can_be_hashed():
    assert len(ids.secret_hash("\ud800é")) == 64


@pytest.mark.parametrize(
    "secret",
    ["", "sk-123", "fb_0_", "fb_00_" + "a" * 43, "fb_0_" + "a" * 42, "fb_0_" + "a" * 44, "fb_x_" + "a" * 43,
     "fb_-1_" + "a" * 43, "fb_0_" + "é" * 43, "fb_0_" + "a" * 43 + "\n", "fb_123456_" + "a" * 43],
)  # fmt: skip
def test_what_cannot_be_a_key_is_refused(secret):
    with pytest.raises(ValueError):
        ids.secret_partition(secret)
