"""Where the customer comes back to: it looks at the payment itself and says what happened."""

import html
import logging

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from libs.events.money import CREDIT, decimal_text
from libs.runtime.errors import RuntimeFailure
from services.payments.credit import Credited, Crediting, Outcome, Quarantined
from services.payments.errors import PaymentsError
from services.payments.orders import Order, Orders

log = logging.getLogger(__name__)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 1.1rem/1.5 system-ui; margin: 4rem auto; max-width: 32rem }}</style>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
</body>
</html>
"""
_RESULTS = {
    "cancelled": ("Nothing was paid", "The order is still there and can be paid later."),
    "saved": ("Saved", "The card can now be used for automatic recharge."),
    "closed": ("Done", "You can close this page."),
}
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
}


class ReturnPage:
    """GET /return."""

    def __init__(self, orders: Orders, crediting: Crediting) -> None:
        self._orders = orders
        self._crediting = crediting

    async def show(self, request: Request) -> Response:
        result = _RESULTS.get(request.query_params.get("result", ""))
        if result is not None:
            return _page(200, *result)
        session_id = request.query_params.get("session_id", "")
        # Strangers may call this page: Stripe is only asked about sessions that are ours.
        order = await self._orders.by_session(session_id) if session_id.isprintable() else None
        if order is None:
            return _page(404, "Unknown payment", "There is no such order.")
        if order.state != "credited" and not isinstance(await self._look(session_id), Credited):
            return await self._not_yet(order.order_id)
        return _page(200, "Thank you", f"{_amount(order)} {_was(order)} added to the balance.")

    async def _look(self, session_id: str) -> Outcome:
        """The same way that a webhook takes; whatever fails here comes again from the inbox."""
        try:
            return await self._crediting.session(session_id)
        except (PaymentsError, RuntimeFailure) as error:
            log.warning("return page: %s", error)
            return Quarantined("unknown")

    async def _not_yet(self, order_id: str) -> Response:
        order = await self._orders.get(order_id)
        if order is not None and order.state == "quarantined":
            return _page(200, "We are looking into it", "Please contact support.", order_id)
        text = "The credits will be there as soon as the payment is confirmed."
        return _page(200, "Being processed", text, order_id)


def _amount(order: Order) -> str:
    text = decimal_text(order.credits, order.unit)
    return f"{text} credits" if order.unit == CREDIT else f"{text} {order.unit}"


def _was(order: Order) -> str:
    return "were" if order.unit == CREDIT else "was"


def _page(status: int, title: str, text: str, order_id: str | None = None) -> Response:
    if order_id is not None:
        text = f"{text} Order {order_id}."
    body = _PAGE.format(title=html.escape(title), text=html.escape(text))
    return HTMLResponse(body, status, _HEADERS)
