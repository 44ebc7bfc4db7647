"""Our keys with the providers, taken out of whatever the providers say.

Providers quote a key that they do not like, and an operation's upstream may echo what it was sent.
"""

from collections.abc import Iterable
from typing import Final

_SHORTEST: Final = 12
"""Shorter ones are no secrets but placeholders like `none`: taken out they would spoil answers."""


class KeyMask:
    """Puts an asterisk in the place of each character, so that lengths and JSON stay the same."""

    def __init__(self, keys: Iterable[str]) -> None:
        long = {key for key in keys if len(key) >= _SHORTEST}
        # Some servers write a slash inside JSON with a backslash before it.
        forms = long | {key.replace("/", "\\/") for key in long}
        self._forms = [form.encode() for form in sorted(forms)]

    def __call__(self, said: bytes) -> bytes:
        for form in self._forms:
            if form in said:
                said = said.replace(form, b"*" * len(form))
        return said
