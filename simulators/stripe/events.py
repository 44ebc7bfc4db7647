"""Events: a snapshot of an object at a moment, kept for the list and handed to the webhooks."""

import copy
from collections.abc import Callable
from typing import Any

import stripe

from simulators.stripe.forms import Params
from simulators.stripe.store import Row, Store


class EventLog:
    """Makes events. `on_event` is called with each new one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.on_event: Callable[[Row], None] = lambda _event: None

    def emit(self, kind: str, row: Row, previous: dict[str, Any] | None = None) -> None:
        """Record that `kind` (such as payment_intent.succeeded) happened to the object."""
        data: Row = {"object": copy.deepcopy(row)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self._store.add(
            "event",
            "evt",
            api_version=stripe.api_version,
            data=data,
            pending_webhooks=1,
            request={"id": None, "idempotency_key": None},
            type=kind,
        )
        self.on_event(event)

    def page(self, params: Params) -> Row:
        """GET /v1/events: newest first, by `type` or `types`, `created` and cursors."""
        kinds = set(params.get("types") or ())
        if "type" in params:
            kinds.add(params["type"])
        return self._store.page(
            "event", params, "/v1/events", keep=lambda row: not kinds or row["type"] in kinds
        )
