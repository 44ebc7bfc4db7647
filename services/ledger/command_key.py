"""The identity of a command as one small value: what the log remembers it by."""

from typing import NewType

from libs.events.commands import KIND_CODES, Command
from libs.events.ids import caller_bytes, partition_of_bytes, partition_stream, stream_uuid

CommandKey = NewType("CommandKey", bytes)
"""16 bytes of the caller, 2 of the kind, 16 of the account: two commands of one kind, caller and
account are the same command. One object, because the writer remembers a hundred thousand."""

_KINDS = {kind: code.to_bytes(2) for kind, code in KIND_CODES.items()}


def command_key(command: Command) -> CommandKey:
    return key_of(command.caller_id, command.kind, command.account_id)


def is_of_partition(command: Command, key: CommandKey, partition: int, partitions: int) -> bool:
    """Whether a command's account, or stream, is of a partition; its bytes end the key."""
    if command.account_id.startswith("acct_"):
        return partition_of_bytes(key[-16:], partitions) == partition
    return command.account_id == partition_stream(partition)


def key_of(caller_id: str, kind: str, account_id: str) -> CommandKey:
    return CommandKey(caller_bytes(caller_id) + _KINDS[kind] + account_bytes(account_id))


def account_bytes(account_id: str) -> bytes:
    """The uuid of an account or of a partition's own stream; the id was checked before."""
    if account_id.startswith("acct_"):
        return bytes.fromhex(account_id[5:])
    return stream_uuid(account_id).bytes


def key_columns(key: CommandKey) -> tuple[str, int, str]:
    """caller_id, kind and account_id as the commands table has them, uuids as hex."""
    text = key.hex()
    return text[:32], int(text[32:36], 16), text[36:]


def key_in_row(caller: bytes, kind: int, account: bytes) -> CommandKey:
    return CommandKey(caller + kind.to_bytes(2) + account)
