"""Proven on two events that really changed, in a copy: version 1 is the only one yet."""

import copy

import orjson
import pytest

from libs.events.codec import canonical, decode_event, load_event
from libs.events.events import EVENTS
from libs.events.upcasters import NEWEST, STEPS, UnknownVersionError, UpcastError, newest
from tests.contract import examples
from tests.support.older_forms import MODELS, OLDER, changed_events, middle, oldest

pytestmark = pytest.mark.requirement("AUD-2")


@pytest.fixture(scope="module", autouse=True)
def changed():
    with changed_events():
        yield


def now(name):
    return examples.event(name) | {"type_version": NEWEST[name]}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", [oldest, middle, dict])
def test_every_form_of_an_event_reads_as_the_newest(name, form):
    expected = copy.deepcopy(now(name))
    if name == "CreditsGranted" and form is not dict:
        expected["data"]["priority"] = 0
    if name == "CreditsReserved" and form is not dict:
        expected["data"]["fee"]["schedule"] = "fidelity-1"
    stored = form(copy.deepcopy(now(name)))
    assert stored == expected or form is not dict
    kept = copy.deepcopy(stored)
    assert newest(stored) == expected
    assert stored == kept, "the body that was read stays as it was"
    raw = canonical(stored)
    assert load_event(raw) == decode_event(raw) == expected


def test_a_body_in_its_newest_form_is_given_back_itself():
    for name in EVENTS:
        body = now(name)
        assert newest(body) is body


def test_an_unknown_type_is_left_alone_in_every_version():
    body = examples.event("KeyRevoked") | {"type": "Thing", "type_version": 7}
    assert newest(body) is body


@pytest.mark.parametrize("version", [0, 3, 99])
def test_a_version_that_no_step_leads_from_is_refused(version):
    with pytest.raises(UnknownVersionError, match=r"CreditsGranted of version .* knows 2"):
        newest(now("CreditsGranted") | {"type_version": version})


@pytest.mark.parametrize("version", [None, "1", [1], 1.5])
def test_what_has_no_version_is_no_event(version):
    with pytest.raises(TypeError):
        newest(now("CreditsGranted") | {"type_version": version})
    with pytest.raises(LookupError):
        newest({"type": "CreditsGranted", "data": {}})


def test_a_newer_version_is_decoded_as_it_is_for_its_type_may_be_of_no_interest():
    body = now("CreditsGranted") | {"type_version": 3, "data": {"other": 1}}
    assert decode_event(canonical(body)) == body


@pytest.mark.parametrize("wrong", [{"type_version": 3}, {"type_version": 1}, {"type": "KeyIssued"}])
def test_a_step_that_leads_elsewhere_is_our_fault_and_named(monkeypatch, wrong):
    monkeypatch.setitem(STEPS, ("CreditsGranted", 1), lambda body: body | wrong)
    with pytest.raises(UpcastError, match="CreditsGranted 1 leads to"):
        newest(oldest(now("CreditsGranted")))


def test_a_step_that_fails_or_makes_no_event_is_never_called_malformed_bytes(monkeypatch):
    raw = canonical(oldest(now("CreditsGranted")))
    monkeypatch.setitem(STEPS, ("CreditsGranted", 1), lambda body: body["data"].pop("nothing"))
    with pytest.raises(UpcastError, match=r"CreditsGranted 1: KeyError\('nothing'\)"):
        decode_event(raw)
    monkeypatch.setitem(STEPS, ("CreditsGranted", 1), lambda body: body | {"type_version": 2})
    with pytest.raises(UpcastError, match=r"after its steps: .*priority: Field required"):
        decode_event(raw)


def test_a_step_changes_data_alone():
    """The envelope has one form for ever: chains, positions and times are read without steps."""
    for (name, _), step in OLDER.items():
        body = oldest(now(name)) if step is not OLDER["CreditsReserved", 2] else middle(now(name))
        after = step(orjson.loads(canonical(body)))
        assert {k: v for k, v in after.items() if k not in {"data", "type_version"}} == {
            k: v for k, v in body.items() if k not in {"data", "type_version"}
        }
