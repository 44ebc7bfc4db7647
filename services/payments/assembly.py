"""How the parts of payments are put together."""

import asyncio
from dataclasses import dataclass

from libs.catalogue.book import Catalogue
from libs.runtime.clock import Clock
from libs.runtime.command_client import CommandClient
from libs.runtime.database import Pool
from services.payments.attempts import Attempts
from services.payments.checkout import Checkout
from services.payments.collect import Collector
from services.payments.credit import Crediting
from services.payments.customers import Customers
from services.payments.inbox import Inbox
from services.payments.links import Links
from services.payments.orders import Orders
from services.payments.reconcile import Reconciler
from services.payments.requests import Desk
from services.payments.return_page import ReturnPage
from services.payments.settings import PaymentsSettings
from services.payments.stripe_api import StripeApi
from services.payments.translate import Translator
from services.payments.webhooks import WebhookEndpoint
from services.payments.worker import InboxWorker


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs. `inbox_filled` and `attempts_filled` wake the two workers."""

    inbox: Inbox
    orders: Orders
    attempts: Attempts
    customers: Customers
    worker: InboxWorker
    collector: Collector
    reconciler: Reconciler
    endpoint: WebhookEndpoint
    page: ReturnPage
    desk: Desk
    inbox_filled: asyncio.Event
    attempts_filled: asyncio.Event


def assemble(
    settings: PaymentsSettings,
    catalogue: Catalogue,
    pool: Pool,
    ledger: CommandClient,
    stripe: StripeApi,
    clock: Clock,
    links: Links,
) -> Parts:
    """The parts, ready to run on this database, ledger and Stripe account."""
    orders, attempts = Orders(pool, clock), Attempts(pool, clock)
    customers = Customers(pool, stripe, clock)
    inbox, inbox_filled, attempts_filled = Inbox(pool, clock), asyncio.Event(), asyncio.Event()
    crediting = Crediting(
        orders,
        attempts,
        customers,
        stripe,
        ledger,
        livemode=settings.livemode,
        give_up_s=settings.ledger_give_up_s,
    )
    translator = Translator(crediting, orders, attempts, customers, stripe, attempts_filled.set)
    checkout = Checkout(catalogue, orders, customers, stripe, links)
    return Parts(
        inbox=inbox,
        orders=orders,
        attempts=attempts,
        customers=customers,
        worker=InboxWorker(settings, inbox, translator),
        collector=Collector(
            settings, catalogue, attempts, customers, stripe, crediting, ledger, clock
        ),
        reconciler=Reconciler(
            settings, pool, inbox, stripe, clock, tuple(translator.handlers), inbox_filled.set
        ),
        endpoint=WebhookEndpoint(inbox, settings.webhook_secrets, inbox_filled.set),
        page=ReturnPage(orders, crediting),
        desk=Desk(catalogue, checkout, orders, customers, stripe),
        inbox_filled=inbox_filled,
        attempts_filled=attempts_filled,
    )
