"""The processes that `farebox serve` can be, named without importing them: each starts quickly."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Serve = Callable[[Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """Where a process's entry and settings are, and whether it reads farebox.toml."""

    module: str
    settings_module: str
    settings_class: str
    reads_config: bool

    def serve(self) -> Serve:
        entry: Serve = import_module(self.module).serve
        return entry

    def settings(self) -> Any:
        """Return its settings from the environment. Raises pydantic.ValidationError."""
        return getattr(import_module(self.settings_module), self.settings_class)()


def _service(package: str, kind: str, *, entry: str = "app", reads_config: bool = True) -> Service:
    root = ".".join(package.split(".")[:2])
    return Service(f"{package}.{entry}", f"{root}.settings", f"{kind}Settings", reads_config)


SERVICES: Mapping[str, Service] = {
    "ledger": _service("services.ledger", "Ledger", reads_config=False),
    "reader": _service("services.ledger", "Reader", entry="reader", reads_config=False),
    "gateway": _service("services.gateway", "Gateway"),
    "admin": _service("services.gateway.admin", "Admin"),
    "payments": _service("services.payments", "Payments"),
    "recharge": _service("services.recharge", "Recharge"),
    "auditor": _service("services.ledger", "Auditor", entry="auditor", reads_config=False),
}
