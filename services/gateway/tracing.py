"""The W3C trace context of a request, carried into the commands it causes."""

import secrets
from collections.abc import Iterable
from typing import Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.gateway.headers import header

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_TRACER: Final = trace.get_tracer("farebox.gateway")


def traceparent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The trace that the request belongs to: the client's own, or a new one."""
    given = header(headers, b"traceparent")
    if given is not None:
        carrier = {"traceparent": given.decode("latin-1")}
        span = _TRACER.start_span("paid request", _PROPAGATOR.extract(carrier))
        found = span.get_span_context()
        span.end()
        if found.is_valid:
            return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
