import hashlib
from uuid import UUID


def derived_id(prefix: str, name: str) -> str:
    """`<prefix>_<uuid8>` of a name (RFC 9562 §5.8): the same name gives the same id.

    Deciding draws no random numbers, so what it creates is named after what it was created from.
    """
    digest = hashlib.sha256(f"{prefix}:{name}".encode()).digest()[:16]
    value = int.from_bytes(digest)
    value = value & ~(0xF << 76) | (0x8 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return f"{prefix}_{UUID(int=value).hex}"
