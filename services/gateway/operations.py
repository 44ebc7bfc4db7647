"""A call at a fixed price: the exact price is held, kept on success, given back on failure."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.catalogue import Catalogue, Operation, Upstream
from libs.events.fields import Attempt
from libs.events.money import decimal_text
from services.gateway.deadline import Deadline
from services.gateway.errors import Refusal
from services.gateway.exchange import Exchange
from services.gateway.failures import OURS, answer_too_large, failure_of, upstream_timeout
from services.gateway.hold import Hold
from services.gateway.orders import Order, Served, Settlement
from services.gateway.pump import Outcome, Told
from services.gateway.routing import ONLY
from services.gateway.templates import is_template
from services.gateway.upstreams import AnswerTooLargeError, Upstreams


@dataclass(frozen=True, slots=True)
class Call:
    """What the client sent: it goes on to the upstream as it is, to `path` there."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    query: str


class OperationCall:
    """One call of one operation. `price` is nanos of the account's unit."""

    def __init__(
        self,
        upstreams: Upstreams,
        operation: Operation,
        upstream: Upstream,
        call: Call,
        price: int,
        order: Order,
    ) -> None:
        self.order = order
        self.amount = self.at_least = price
        self._upstreams = upstreams
        self._operation = operation
        self._upstream = upstream
        self._call = call
        self._status: int | None = None

    def told(self, hold: Hold) -> Told:
        return Told(self._route, decimal_text(hold.amount, self.order.unit), reason=ONLY)

    @property
    def _route(self) -> str:
        return f"{self._upstream.name}/{self._operation.name}"

    async def run(self, hold: Hold, told: Told, exchange: Exchange) -> Outcome:
        del told, exchange
        operation = self._operation
        try:
            async with Deadline(operation.timeout_s) as deadline:
                response = await self._upstreams.send(
                    self._upstream,
                    operation.method,
                    self._call.path,
                    body=self._call.body,
                    headers=self._call.headers,
                    query=self._call.query,
                )
                try:
                    self._status = response.status
                    body = await self._upstreams.read(response, deadline, operation.timeout_s)
                finally:
                    response.close()
        except Refusal as refusal:
            return self._failed(refusal)
        except AnswerTooLargeError:
            return self._failed(answer_too_large())
        except TimeoutError:
            return self._failed(upstream_timeout())
        success = operation.is_success(response.status)
        if not success and response.status in OURS:
            # The client's credentials never go there: what is refused are ours.
            return self._failed(failure_of(response))
        return Outcome(
            self._served(None if success else "operation_failed"),
            settlement=_fixed(hold.amount) if success else None,
            reason="operation_failed",
            status=response.status,
            headers=self._upstreams.returned(response),
            body=body,
        )

    def _failed(self, refusal: Refusal) -> Outcome:
        return Outcome(self._served(refusal.code), reason=refusal.code, refusal=refusal)

    def _served(self, reason: str | None) -> Served:
        attempt = Attempt(upstream=self._upstream.name, status=self._status, reason=reason)
        return Served(None, self._route, (attempt,), self._status)


def _fixed(price: int) -> Settlement:
    # What the call costs us is not known, so there is no margin to tell.
    return Settlement(
        charge=price, margin=0, basis="fixed", cost_pico=None, usage=None, finish=None
    )


def places(catalogue: Catalogue) -> dict[tuple[str, str], Operation]:
    """All operations with a path of its own that the gateway serves, by their method and that."""
    return {
        (operation.method, operation.path): operation
        for operation in catalogue.operations.values()
        if operation.path and not is_template(operation.path)
    }
