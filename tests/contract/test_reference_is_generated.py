"""What operators read of settings, metrics, subjects and alerts is what the code says."""

import re
import tomllib

from farebox.reference import ALERTS, alerts_page, expected_files, field_docs, metrics, type_of
from farebox.services import SERVICES
from libs.events.declines import ACTIONS, DECLINES
from libs.runtime.settings import Settings
from services.ledger.invariants import INVARIANTS


def test_every_page_is_what_the_code_says():
    differing = [
        str(path)
        for path, text in expected_files().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert differing == [], "run `make schemas` and read the difference"


def test_every_setting_of_every_process_says_what_it_means():
    classes = {type_of(s.settings_module, s.settings_class) for s in SERVICES.values()}
    docs = {cls: field_docs(cls) | field_docs(Settings) for cls in {Settings, *classes}}
    assert [
        f"{cls.__name__}.{name}"
        for cls, known in docs.items()
        for name in cls.model_fields
        if name not in known
    ] == []


def test_a_metric_has_one_type_and_one_meaning():
    meanings = {}
    for metric in metrics():
        said = metric.kind, metric.labels, metric.means
        assert meanings.setdefault(metric.name, said) == said, metric.name


def test_every_alert_is_about_a_metric_that_exists():
    known = {f"farebox_{metric.name}" for metric in metrics()}
    for alert in tomllib.loads(ALERTS.read_text())["alert"]:
        used = set(re.findall(r"farebox_\w+", alert["expression"]))
        assert used, alert["name"]
        assert used <= known, alert["name"]


def test_every_decline_says_what_to_do():
    assert list(ACTIONS) == list(DECLINES)


def test_every_invariant_and_every_problem_is_explained():
    page = alerts_page()
    for said in ("stream_ahead", "cannot reach stream", "UnknownVersionError", "not done"):
        assert said in page
    audit = (ALERTS.parents[1] / "docs" / "operating" / "audit.md").read_text()
    assert [name for name in INVARIANTS if f"`{name}`" not in audit] == []
