"""`farebox-tags`: the customer's own words on a request, for receipts, usage and exports (ACC-8).

They stand in the log for good, and are no place for personal data.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from services.gateway.errors import invalid
from services.gateway.headers import header

HEADER: Final = "farebox-tags"
MOST: Final = 8
_TAG: Final = re.compile(r"[a-z0-9_]{1,32}=[ -~]{0,64}")
_FORM: Final = (
    f"'{HEADER}' must be at most {MOST} of name=value with a comma between: names of a-z, 0-9 and "
    "_, at most 32; values of at most 64 printable ASCII characters."
)


def tags_of(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The tags of a request; raises Refusal where they are not of that form."""
    raw = header(headers, HEADER.encode())
    if raw is None:
        return {}
    parts = [part.strip() for part in raw.decode("latin-1").split(",") if part.strip()]
    tags = dict(part.split("=", 1) for part in parts if _TAG.fullmatch(part))
    if len(tags) != len(parts) or len(tags) > MOST:
        raise invalid(_FORM, HEADER)
    return tags
