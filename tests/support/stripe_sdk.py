"""The real Stripe SDK over the stand-in: only the socket is replaced."""

from typing import Any

import httpx
import stripe

from simulators.stripe.app import FakeStripe

BASE = "http://stripe.test"


class InProcessClient(stripe.HTTPXClient):
    """The SDK's own client with an in-process transport and without waiting between retries.

    `_client_async` is private to the pinned SDK; `test_the_sdk_really_talks_to_the_stand_in`
    fails when it goes away.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(timeout=5)
        self._client_async = httpx.AsyncClient(transport=httpx.ASGITransport(app=app))

    def sleep_async(self, secs: float) -> Any:
        return super().sleep_async(0)


def sdk(fake: FakeStripe, retries: int = 2) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_stand_in",
        base_addresses={"api": BASE},
        http_client=InProcessClient(fake),
        max_network_retries=retries,
    )


def page_client(fake: FakeStripe) -> httpx.AsyncClient:
    """A browser without redirects, for the hosted pages and the control calls."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=fake), base_url=BASE)
