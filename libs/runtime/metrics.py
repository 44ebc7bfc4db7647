"""Counters and gauges of this process, rendered as Prometheus text.

Process-local and without label churn: a label is fixed when its counter is made, so nothing a
caller sends can make a new time series.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Number = int | float


@dataclass(slots=True)
class Counter:
    """A number that only grows."""

    value: int = 0

    def inc(self, by: int = 1) -> None:
        self.value += by


@dataclass(slots=True)
class Gauge:
    """A number that is set, or read when asked for."""

    value: Number = 0
    read: Callable[[], Number] | None = None

    def set(self, value: Number) -> None:
        self.value = value

    def current(self) -> Number:
        return self.value if self.read is None else self.read()


@dataclass(slots=True)
class _Family:
    kind: str
    help: str
    members: dict[str, Counter | Gauge] = field(default_factory=dict)


class Registry:
    """All metrics by name; asking twice for the same name and labels gives the same one."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def counter(self, name: str, help_text: str, /, **labels: str) -> Counter:
        """Return the counter ``name`` (by convention ending in ``_total``)."""
        family = self._family(name, "counter", help_text)
        found = family.members.setdefault(_label_text(labels), Counter())
        assert isinstance(found, Counter)
        return found

    def gauge(
        self,
        name: str,
        help_text: str,
        /,
        *,
        read: Callable[[], Number] | None = None,
        **labels: str,
    ) -> Gauge:
        """Return the gauge ``name``; ``read``, when given, replaces how it is read."""
        family = self._family(name, "gauge", help_text)
        found = family.members.setdefault(_label_text(labels), Gauge())
        assert isinstance(found, Gauge)
        if read is not None:
            found.read = read
        return found

    def render(self) -> str:
        """Return every metric in the Prometheus text format, names prefixed ``farebox_``."""
        lines: list[str] = []
        for name, family in sorted(self._families.items()):
            lines.append(f"# HELP farebox_{name} {family.help}")
            lines.append(f"# TYPE farebox_{name} {family.kind}")
            for labels, metric in sorted(family.members.items()):
                value = metric.value if isinstance(metric, Counter) else metric.current()
                lines.append(f"farebox_{name}{labels} {value}")
        return "\n".join(lines) + "\n"

    def _family(self, name: str, kind: str, help_text: str) -> _Family:
        family = self._families.setdefault(name, _Family(kind, help_text.replace("\n", " ")))
        if family.kind != kind:
            raise ValueError(f"metric {name} is already a {family.kind}")
        return family


def _label_text(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(labels[key])}"' for key in sorted(labels)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


REGISTRY = Registry()
counter = REGISTRY.counter
gauge = REGISTRY.gauge
render = REGISTRY.render
