"""Keeps secrets out of logs, whoever writes them and whatever they quote."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

HIDDEN: Final = "[hidden]"
_SHORTEST: Final = 8
SECRET_NAME: Final = re.compile(r"(PASSWORD|PASSWD|KEY|TOKEN|SECRET|CREDENTIALS)S?(_|$)|REDIS_URL$")
"""Found in the name of a variable, in capitals, that holds a secret or an address with one."""
_FORMS: Final = re.compile(
    r"fb_[0-9]{1,4}_[A-Za-z0-9_-]{20,}"  # our own keys
    r"|\b(?:sk|rk|pk|whsec)[-_][A-Za-z0-9_-]{10,}"  # the providers' and Stripe's
    r"|(?i:\bbearer )[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^/\s:@\"]+:[^/\s@\"]+(?=@)"  # user and password of an address
)


def secrets_in(environment: Mapping[str, str]) -> frozenset[str]:
    """The values of variables that are named like secrets, but for those too short to tell."""
    return frozenset(
        value
        for name, value in environment.items()
        if SECRET_NAME.search(name.upper()) and len(value) >= _SHORTEST
    )


class Redaction:
    """Replaces secrets in a text: those with a known form, and the ones that are given."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        words = sorted(map(re.escape, known), key=len, reverse=True)
        self._known = re.compile("|".join(words)) if words else None

    def __call__(self, text: str) -> str:
        text = _FORMS.sub(HIDDEN, text)
        return text if self._known is None else self._known.sub(HIDDEN, text)
