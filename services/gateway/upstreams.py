"""Calls to the upstreams: with our key, never with the client's, over pooled connections."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import aiohttp
from yarl import URL

from libs.catalogue import Catalogue, Upstream
from services.gateway.deadline import Deadline
from services.gateway.errors import HeaderList
from services.gateway.failures import broken_off, unreachable, upstream_timeout
from services.gateway.headers import returned
from services.gateway.key_mask import KeyMask

# Below what providers keep open: a connection that is closed under a POST cannot be retried.
_KEEPALIVE_S: Final = 4.0
_NAMES_S: Final = 60
# Addresses kept in their parsed form; paths with parts of the customers' own are without number.
_REMEMBERED: Final = 1024
# How each shape of upstream is told who we are.
_CREDENTIALS: Final = {
    "openai": ("authorization", "Bearer {}"),
    "anthropic": ("x-api-key", "{}"),
    "http": ("authorization", "Bearer {}"),
}


@dataclass(slots=True)
class Received:
    """How many bytes of a body came, also when the rest of it does not."""

    size: int = 0


class AnswerTooLargeError(Exception):
    """The body is larger than `answer_max`: it is we who do not take it."""


class Upstreams:
    """All upstreams of the catalogue; an async context that holds the connections."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        answer_max: int,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._answer_max = answer_max
        self._keys = {
            upstream.name: environment.get(upstream.key_env, "")
            for upstream in catalogue.upstreams.values()
        }
        self.redact = KeyMask(self._keys.values())
        """What an upstream said, without any key of ours; `read` and `returned` do so."""

    @property
    def without_key(self) -> list[str]:
        """The upstreams whose key is not in the environment; they are called without one."""
        return [name for name, key in self._keys.items() if not key]

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=_NAMES_S
            ),
            # A cookie of one customer's answer must never reach an upstream with another's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(
        self,
        upstream: Upstream,
        method: str,
        path: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        query: str = "",
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer's head; the caller closes it.

        Raises:
            Refusal: 502 no connection, or it broke; 504 no connection in time.
        """
        sent = {**headers, "accept-encoding": "identity", "user-agent": "farebox"}
        if key := self._keys[upstream.name]:
            name, value = _CREDENTIALS[upstream.shape]
            sent[name] = value.format(key)
        try:
            return await self._session.request(
                method,
                self._url(upstream, path, query),
                data=body or None,
                headers=sent,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=upstream.timeouts.connect_s),
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise upstream_timeout() from error
        except aiohttp.ClientConnectorError as error:
            raise unreachable() from error
        except (aiohttp.ClientError, OSError) as error:
            raise broken_off() from error

    async def read(
        self,
        response: aiohttp.ClientResponse,
        deadline: Deadline,
        idle_s: float,
        received: Received | None = None,
    ) -> bytes:
        """The whole body without our keys; meanwhile `received` says how much of it there is.

        Raises:
            Refusal: 502 the connection broke.
            AnswerTooLargeError: the body is larger than `answer_max`.
        """
        pieces: list[bytes] = []
        received = received or Received()
        try:
            async for piece in response.content.iter_any():
                deadline.within(idle_s)
                received.size += len(piece)
                if received.size > self._answer_max:
                    raise AnswerTooLargeError
                pieces.append(piece)
        except (aiohttp.ClientError, OSError) as error:
            raise broken_off() from error
        return self.redact(b"".join(pieces))

    def returned(self, response: aiohttp.ClientResponse) -> HeaderList:
        """The headers of an answer that go to the client, without our keys."""
        return tuple((name, self.redact(value)) for name, value in returned(response.headers))

    @staticmethod
    def _url(upstream: Upstream, path: str, query: str) -> URL:
        url = _url(upstream.base_url, path)
        # The client's own encoding is kept: what it meant is between it and the upstream.
        return URL(f"{url}?{query}", encoded=True) if query else url


@lru_cache(maxsize=_REMEMBERED)
def _url(base: str, path: str) -> URL:
    return URL(base.rstrip("/") + path)
