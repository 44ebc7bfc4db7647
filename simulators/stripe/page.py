"""The hosted Checkout page: one form, one button per test payment method."""

import html

from simulators.stripe.cards import CARDS
from simulators.stripe.store import Row

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Checkout (stand-in)</title></head>
<body>
<h1>{title}</h1>
{note}
{body}
<p>This page belongs to a stand-in for Stripe. No money moves.</p>
</body>
</html>
"""


def checkout(session: Row, problem: str | None = None) -> str:
    """The page of an open session, with what went wrong the last time."""
    paying = session["mode"] == "payment"
    title = f"Pay {_amount(session)}" if paying else "Save a card"
    note = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    buttons = "\n".join(
        f'<p><button type="submit" name="payment_method" value="{card.token}">'
        f"{html.escape(card.label)} {card.last4}</button></p>"
        for card in CARDS.values()
    )
    form = f'<form method="post" action="/pay/{session["id"]}">\n{buttons}\n</form>'
    return _PAGE.format(title=html.escape(title), note=note, body=form)


def closed(session: Row) -> str:
    """The page of a session that is complete or expired."""
    return _PAGE.format(title=f"This session is {session['status']}", note="", body="")


def portal(ident: str) -> str:
    return _PAGE.format(title="Customer portal", note="", body=f"<p>{html.escape(ident)}</p>")


def _amount(session: Row) -> str:
    whole, part = divmod(session["amount_total"], 100)
    return f"{whole}.{part:02d} {session['currency'].upper()}"
