"""The size of an image that a request carries, read from its header.

Only what every decoder must believe is read; for the rest the most that an image may count holds.
"""

import binascii
from typing import Final

from libs.catalogue.images import Size

_READ: Final = 512 * 1024
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8"
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that begin a frame and tell its size."""
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers that have no length."""


def base64_image_size(data: str) -> Size | None:
    """Width and height of a PNG or a JPEG in base64; None where they cannot be read."""
    try:
        start = data[:_READ].rstrip("=")
        # Strict: what one decoder skips another reads, and they would see different images.
        raw = binascii.a2b_base64(start[: len(start) // 4 * 4], strict_mode=True)
    except ValueError:
        return None
    if raw.startswith(_PNG):
        return _png_size(raw)
    return _jpeg_size(raw) if raw.startswith(_JPEG) else None


def _png_size(raw: bytes) -> Size | None:
    if raw[12:16] != b"IHDR" or len(raw) < 24:
        return None
    return int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24])


def _jpeg_size(raw: bytes) -> Size | None:
    place = 2
    while place + 9 <= len(raw) and raw[place] == 0xFF:
        marker = raw[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _BARE:
            place += 2
        elif marker in _FRAMES:
            height, width = raw[place + 5 : place + 7], raw[place + 7 : place + 9]
            return int.from_bytes(width), int.from_bytes(height)
        else:
            place += 2 + int.from_bytes(raw[place + 2 : place + 4])
    return None
