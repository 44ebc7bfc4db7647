from libs.events.commands import KIND_CODES
from libs.events.ids import caller_bytes, new_id, partition_stream, stream_uuid
from services.ledger.command_key import key_columns, key_in_row, key_of

ACCOUNT, RES = new_id("acct"), new_id("req")


def test_a_key_is_its_columns_and_back():
    for kind, code in KIND_CODES.items():
        key = key_of(RES, kind, ACCOUNT)
        assert key_columns(key) == (RES[4:], code, ACCOUNT[5:])
        assert key_in_row(caller_bytes(RES), code, bytes.fromhex(ACCOUNT[5:])) == key


def test_kind_caller_and_account_each_make_another_command():
    keys = {
        key_of(caller, kind, account)
        for caller in (RES, f"extend:{RES}:1")
        for kind in ("Settle", "Release")
        for account in (ACCOUNT, new_id("acct"))
    }
    assert len(keys) == 8


def test_a_partitions_own_stream_is_an_account_too():
    key = key_of("incarnation:2", "StartIncarnation", partition_stream(3))
    assert key_columns(key)[2] == stream_uuid("part_3").hex
