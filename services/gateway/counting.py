"""A question to an upstream that costs nothing: nothing is held for it and nothing is charged."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from services.gateway.deadline import Deadline
from services.gateway.errors import Refusal, internal, upstream_failed
from services.gateway.exchange import Exchange
from services.gateway.offers import Candidate
from services.gateway.upstreams import AnswerTooLargeError, Upstreams

log = logging.getLogger(__name__)

# These speak of our account with the provider, and may quote our key: they are not the client's.
_OURS: Final = frozenset({401, 402, 403, 407})
_LIMITED: Final = 429
_OVERLOADED: Final = frozenset({503, 529})


@dataclass(frozen=True, slots=True)
class FreeCall:
    """One such question to the first candidate: it is cheap to ask again."""

    upstreams: Upstreams
    candidate: Candidate
    path: str
    body: bytes
    headers: Mapping[str, str]

    async def run(self, exchange: Exchange) -> None:
        """Ask, and give the client the answer or why there is none."""
        try:
            await self._ask(exchange)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except TimeoutError:
            message = "The provider did not answer in time."
            await exchange.refuse(upstream_failed(504, "upstream_timeout", message))
        except AnswerTooLargeError:
            message = "The provider's answer is too large."
            await exchange.refuse(upstream_failed(502, "upstream_invalid", message))
        except asyncio.CancelledError:
            exchange.abort(internal())
            raise
        except Exception:
            log.exception("free request %s", exchange.request_id)
            exchange.abort(internal())

    async def _ask(self, exchange: Exchange) -> None:
        upstream = self.candidate.upstream
        async with Deadline(upstream.timeouts.first_byte_s) as deadline:
            response = await self.upstreams.send(
                upstream, "POST", self.path, body=self.body, headers=self.headers
            )
            try:
                _check(response)
                body = await self.upstreams.read(response, deadline, upstream.timeouts.idle_s)
            finally:
                response.close()
        exchange.answer(response.status, self.upstreams.returned(response), body)


def _check(response: aiohttp.ClientResponse) -> None:
    """What the provider says of the request passes; what it says of itself or us does not."""
    status = response.status
    if status in _OURS:
        raise upstream_failed(502, "upstream_refused", "The provider refuses this gateway.")
    if status in _OVERLOADED:
        raise upstream_failed(503, "upstream_overloaded", "The provider is overloaded.")
    if status == _LIMITED:
        # In our own words: the provider's describe our account with it, not the client's.
        message = "The provider is called too often now."
        raise upstream_failed(status, "upstream_rate_limited", message)
    if not 200 <= status < 300 and not 400 <= status < 500:
        raise upstream_failed(502, "upstream_error", "The provider failed.")
