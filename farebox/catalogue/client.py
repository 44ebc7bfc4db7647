"""The part of /admin/v1 that knows catalogues, asked over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx

TIMEOUT_S: Final = 15.0


class AdminApiError(Exception):
    """The admin API cannot be asked, or refused; the text says which, and what to do."""


@dataclass(frozen=True)
class AdminApi:
    """An operator's access to an installation."""

    url: str
    token: str

    def published(self) -> dict[str, Any]:
        """All catalogues that were published: `configured`, `partitions`, `catalogues`."""
        return self._ask("GET", "")

    def text(self, catalogue_hash: str) -> str:
        """What a published catalogue said."""
        return str(self._ask("GET", f"/{catalogue_hash}")["text"])

    def publish(
        self, text: str, *, effective_from: str | None, withdraws: list[str]
    ) -> dict[str, Any]:
        """Publish a text; again with the same terms it changes nothing."""
        body = {"text": text, "effective_from": effective_from, "withdraws": withdraws}
        return self._ask("POST", "", body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.token}"}
        if method == "POST":
            headers["idempotency-key"] = str(uuid4())
        url = f"{self.url.rstrip('/')}/admin/v1/catalogues{path}"
        try:
            response = httpx.request(method, url, json=body, headers=headers, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            # A catalogue is published once by its hash: repeating is always safe.
            raise AdminApiError(f"the admin API at {self.url} cannot be asked: {error}") from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            text = f"{self.url} answered {response.status_code} without JSON: is it the admin API?"
            raise AdminApiError(text)
        if response.is_error:
            told = f"{answer.get('detail')} ({answer.get('code')}, {response.status_code})"
            raise AdminApiError(told)
        return answer
