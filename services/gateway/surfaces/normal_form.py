"""How long a text may become when a tokenizer first brings it into normal form (NFKC).

Anthropic's published tokenizer does, as do many of those that upstreams of the OpenAI shape use,
and one character of three bytes can become 33. The form itself is not made here: a text of nothing
but combining marks takes minutes of that.
"""

import re
import unicodedata
from collections import Counter
from functools import cache
from typing import Final

# Where Unicode has characters that grow or combine; far from its unified ideographs and Hangul.
_BLOCKS: Final = (
    (0x80, 0x3400),
    (0xA000, 0xAC00),
    (0xF900, 0x12000),
    (0x16000, 0x17000),
    (0x1B000, 0x1F300),
    (0x2F800, 0x2FA20),
)
_FURTHER: Final = re.compile(r"[^\x00-\x7f]+")
_BROKEN: Final = 5
"""Bytes by which a mark may lengthen the character before it, by taking its place beside it."""


def text_size(raw: bytes) -> int:
    """As `normal_size`, of a text in UTF-8."""
    return len(raw) if raw.isascii() else normal_size(raw.decode())


def normal_size(text: str) -> int:
    """At least the bytes of the text in UTF-8, before and after it is brought into NFKC."""
    size = len(text.encode())
    if text.isascii():
        return size
    growth = _growth()
    counts = Counter("".join(_FURTHER.findall(text)))
    return size + sum(growth[found] * counts[found] for found in counts.keys() & growth.keys())


@cache
def _growth() -> dict[str, int]:
    """The characters that can make a text longer, and by how many bytes each."""
    growth = {}
    for first, last in _BLOCKS:
        for code in range(first, last):
            character = chr(code)
            normal = unicodedata.normalize("NFKC", character)
            more = max(0, len(normal.encode()) - len(character.encode()))
            if unicodedata.combining(character):
                more += _BROKEN
            if more:
                growth[character] = more
    return growth
