"""What a request is known by: its Idempotency-Key, what it asks for, and the ids of its tries."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from libs.events.ids import id_of
from services.gateway.errors import Refusal, invalid
from services.gateway.keys import Headers
from services.gateway.ledger_calls import named_uuid
from services.gateway.tags import HEADER as TAGS_HEADER
from services.gateway.tags import MOST as MOST_TAGS

HEADER: Final = b"idempotency-key"
TAG: Final = "idempotent_body"
"""The tag by which a reservation says what was asked for, wherever it is looked up."""
_FORM: Final = re.compile(rb"[ -~]{1,255}")
_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """Which API key asked for what; None where that is not known."""

    key_id: str | None
    digest: str | None

    def is_of(self, key_id: str, digest: str) -> bool:
        """Whether the same was asked for, by the same API key, as far as is known."""
        return self.key_id in {None, key_id} and self.digest in {None, digest}


def key_of(headers: Headers) -> str | None:
    """The request's Idempotency-Key, None without one; raises Refusal when it cannot be one."""
    given = [value for name, value in headers if name == HEADER]
    if not given:
        return None
    if len(given) > 1 or not _FORM.fullmatch(given[0]):
        message = "The header Idempotency-Key must be 1 to 255 printable ASCII characters, once."
        raise Refusal(400, "invalid_idempotency_key", message, param="Idempotency-Key")
    return given[0].decode()


def attempt_id(account_id: str, key: str, attempt: int) -> str:
    """The reservation of one try: the same at every gateway, and nobody can name another's."""
    return id_of("req", named_uuid("paid", account_id, key, str(attempt)))


def digest_of(scope: Scope, body: bytes) -> str:
    """What is asked for, in 32 hex digits: method, path, query and body."""
    digest = hashlib.sha256()
    for part in (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()[:_DIGITS]


def tagged(tags: Mapping[str, str], digest: str) -> Mapping[str, str]:
    """The customer's tags and ours; raises Refusal where there is no room for it."""
    if TAG in tags or len(tags) >= MOST_TAGS:
        message = (
            f"With an Idempotency-Key '{TAGS_HEADER}' has room for {MOST_TAGS - 1} tags, "
            f"and '{TAG}' is none of them."
        )
        raise invalid(message, TAGS_HEADER)
    return {**tags, TAG: digest}
