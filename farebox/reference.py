"""Write what is known of settings, metrics, subjects, alerts: `python -m farebox.reference`."""

import ast
import json
import tomllib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from nats.js.api import StreamConfig
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from deploy.nats.config import permissions
from farebox.services import SERVICES
from libs.events import subjects
from libs.runtime.settings import Settings
from libs.runtime.streams import DURABLES, ledger_stream, quarantine_stream, recharge_stream

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "deploy" / "alerts.toml"
GENERATED = "by `make schemas`; a test fails when this page and the code differ."
PREFIX = "FAREBOX_"

METRIC_CALLS = {"counter", "gauge"}
EXPORTED_BY = {
    "services/ledger/auditor.py": "auditor",
    "services/ledger/reader.py": "reader",
    "services/ledger/follower.py": "reader",
    "services/ledger": "ledger",
    "services/gateway": "gateway",
    "services/payments": "payments",
    "services/recharge": "recharge",
    "libs/runtime": "whoever does it",
}
"""By the beginning of a module's path, the first that fits."""

ENVIRONMENT = f"""# Environment

Generated from the settings of each process {GENERATED} A duration is in seconds when the name ends
in `_S`. `farebox up` gives each process its addresses and passwords; any other variable that it
has itself reaches all of them, except that secrets reach only the process that needs them. What
customers buy and which upstreams there are stands in farebox.toml ([settings.md](settings.md)).
"""
METRICS = f"""# Metrics

Generated from the code {GENERATED} Every process serves its own at `/metrics` on its health port
(`FAREBOX_HEALTH_PORT`), in the Prometheus text format. What to be woken for:
[alerts](../operating/alerts.md).

| metric | type | labels | of | meaning |
|---|---|---|---|---|
"""
SUBJECTS = f"""# Subjects and streams

Generated from `deploy/nats/permissions.toml` and `libs/runtime/streams.py` {GENERATED} What the
messages hold: [events.md](events.md). `*` stands for one token, `>` for all that follow. One NATS
user per kind of process; what is not listed is refused by the server. Answers go to
`inbox.<user>.>`, which that user alone hears.

## Who may publish and subscribe

| user | publishes | subscribes |
|---|---|---|
"""
OPERATING = f"""# Alerts and problems

Generated from `deploy/alerts.toml` {GENERATED} The same rules for Prometheus are in
`deploy/prometheus.rules.yml`. Every metric: [metrics.md](../reference/metrics.md).

## Alerts

| alert | of | when | means | do |
|---|---|---|---|---|
"""
PROBLEMS = """
## What `/health/ready` says

A process that is not ready answers 503 and names each check that fails, with its problem. It goes
on working where it can: readiness says that somebody should look, not that it stopped.

| process | check | says | means | do |
|---|---|---|---|---|
"""


class Metric(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]
    process: str
    means: str


def environment_page() -> str:
    """Every variable of every process, with what its field says of it."""
    parts = [ENVIRONMENT, _settings("Every process", Settings, Settings.model_fields)]
    for name, service in SERVICES.items():
        cls = type_of(service.settings_module, service.settings_class)
        own = [field for field in cls.model_fields if field not in Settings.model_fields]
        parts.append(_settings(f"farebox serve {name}", cls, own))
    return "\n".join(parts)


def type_of(module: str, name: str) -> type[Settings]:
    cls: type[Settings] = getattr(__import__(module, fromlist=[name]), name)
    return cls


def _settings(title: str, cls: type[Settings], names: Iterable[str]) -> str:
    docs = field_docs(cls)
    lines = [f"## {title}\n", "| variable | default | meaning |", "|---|---|---|"]
    for name in names:
        default = _default(cls.model_fields[name].default)
        lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {docs.get(name, '')} |")
    return "\n".join(lines) + "\n"


def field_docs(cls: type[Settings]) -> dict[str, str]:
    """The text below each field of a settings class, as one line."""
    module = ast.parse(Path(_file(cls.__module__)).read_text(encoding="utf-8"))
    body = next(
        n for n in module.body if isinstance(n, ast.ClassDef) and n.name == cls.__name__
    ).body
    docs = {}
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            words = str(text.value.value).replace("``", "`").replace("|", "\\|")
            docs[field.target.id] = " ".join(words.split())
    return docs


def _file(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr) or value in ("", None):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def metrics_page() -> str:
    rows = [
        f"| `farebox_{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.process} | {m.means} |\n"
        for m in sorted(metrics())
    ]
    return METRICS + "".join(rows)


def metrics() -> set[Metric]:
    """Every metric that the code makes, read from the calls that make them."""
    found: set[Metric] = set()
    for folder in ("libs/runtime", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            if place != "libs/runtime/metrics.py":
                found.update(_metrics_of(ast.parse(path.read_text(encoding="utf-8")), place))
    return found


def _metrics_of(tree: ast.AST, place: str) -> Iterator[Metric]:
    process = next((who for start, who in EXPORTED_BY.items() if place.startswith(start)), "")
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        kind = str(getattr(call.func, "attr", getattr(call.func, "id", "")))
        if kind in METRIC_CALLS:
            name, means = (ast.literal_eval(argument) for argument in call.args)
            labels = (word.arg or "" for word in call.keywords if word.arg != "read")
            yield Metric(name, kind, tuple(sorted(labels)), process, means.rstrip("."))


def subjects_page() -> str:
    rows = [
        f"| {user} | {_listed(rights.publish)} | {_listed(rights.subscribe)} |\n"
        for user, rights in permissions().items()
    ]
    return SUBJECTS + "".join(rows) + _streams()


def _listed(names: Iterable[str]) -> str:
    return "<br>".join(f"`{name}`" for name in names)


def _streams() -> str:
    kept = (
        (ledger_stream(0), "the events of one partition; its sequence is the position"),
        (recharge_stream(), "the sweep's schedule, and the runs that fall due"),
        (quarantine_stream(), "bytes that could not be read"),
    )
    lines = ["", "## Streams", "", "| stream | subjects | kept for | holds |", "|---|---|---|---|"]
    lines += [f"| {_stream(config)} | {words} |" for config, words in kept]
    lines += ["", "## Durable consumers", "", "| durable | of | event types |", "|---|---|---|"]
    for name, types in DURABLES.items():
        lines.append(f"| {name} | every `LEDGER_<p>` | {', '.join(types)} |")
    lines.append(f"| recharge | `{subjects.RECHARGE_STREAM}` | `{subjects.RECHARGE_SWEEP}.>` |")
    return "\n".join(lines) + "\n"


def _stream(config: StreamConfig) -> str:
    days = f"{config.max_age / 86_400:g} days" if config.max_age else "ever"
    return f"`{config.name}` | {_listed(config.subjects or [])} | {days}"


def alerts_page() -> str:
    table = tomllib.loads(ALERTS.read_text(encoding="utf-8"))
    lines = []
    for alert in table["alert"]:
        lasting = "" if alert["lasting"] == "0m" else f" for {alert['lasting']}"
        when = f"`{alert['expression']}`{lasting}"
        lines.append(
            _row(f"`{alert['name']}`", alert["process"], when, alert["means"], alert["do"])
        )
    problems = [
        _row(p["process"], f"`{p['check']}`", f"`{p['says']}`", p["means"], p["do"])
        for p in table["problem"]
    ]
    return OPERATING + "".join(lines) + PROBLEMS + "".join(problems)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def alert_rules() -> str:
    """The rules as Prometheus reads them; a JSON text is a YAML text."""
    lines = [
        "# Generated from alerts.toml by `make schemas`.",
        "groups:",
        "  - name: farebox",
        "    rules:",
    ]
    for alert in tomllib.loads(ALERTS.read_text(encoding="utf-8"))["alert"]:
        told = {"summary": alert["means"], "description": alert["do"]}
        lines += [
            f"      - alert: Farebox{alert['name']}",
            f"        expr: {json.dumps(alert['expression'])}",
            f"        for: {alert['lasting']}",
            f"        annotations: {json.dumps(told, ensure_ascii=False)}",
        ]
    return "\n".join(lines) + "\n"


def expected_files() -> dict[Path, str]:
    """Every generated file and its text."""
    docs = ROOT / "docs"
    return {
        docs / "reference" / "environment.md": environment_page(),
        docs / "reference" / "metrics.md": metrics_page(),
        docs / "reference" / "subjects.md": subjects_page(),
        docs / "operating" / "alerts.md": alerts_page(),
        ROOT / "deploy" / "prometheus.rules.yml": alert_rules(),
    }


def main() -> None:
    for path, text in expected_files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
