import hashlib
import json
from pathlib import Path

import orjson
import pytest

from libs.events.codec import canonical, decode_event
from libs.events.events import EVENTS
from libs.events.upcasters import NEWEST, STEPS
from tests.contract import examples

GOLDEN = Path(__file__).parent / "golden" / "events"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.v1.json").read_bytes()


def test_there_is_a_golden_body_of_every_event_and_of_nothing_else():
    names = {path.name for path in GOLDEN.iterdir()}
    assert names == {f"{name}.v1.json" for name in EVENTS} | {
        f"{name}.v1.json.sha256" for name in EVENTS
    }


@pytest.mark.parametrize("name", EVENTS)
def test_the_hash_beside_a_golden_body_is_its_hash(name):
    recorded = (GOLDEN / f"{name}.v1.json.sha256").read_text(encoding="ascii")
    assert recorded == f"{hashlib.sha256(golden(name)).hexdigest()}  {name}.v1.json\n"


@pytest.mark.parametrize("name", EVENTS)
def test_the_example_still_encodes_to_the_golden_bytes(name):
    assert canonical(examples.event(name)) == golden(name)


@pytest.mark.parametrize("name", EVENTS)
def test_a_plain_dict_and_the_model_give_the_same_bytes(name):
    model = EVENTS[name].model_validate_json(golden(name))
    dumped = model.model_dump(mode="json")
    assert orjson.dumps(dumped, option=orjson.OPT_SORT_KEYS) == golden(name)
    assert canonical(dumped) == golden(name)


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_body_decodes_to_the_example(name):
    assert decode_event(golden(name)) == examples.event(name)


@pytest.mark.parametrize("name", EVENTS)
def test_golden_bytes_are_rfc_8785(name):
    """Sorted ASCII keys, no blanks, no floats: what another tool writes is the same bytes."""

    def keep_sorted(pairs):
        keys = [key for key, _ in pairs]
        assert all(key.isascii() for key in keys)
        assert keys == sorted(keys)
        return dict(pairs)

    def no_float(text):
        raise AssertionError(f"a float: {text}")

    body = json.loads(golden(name), object_pairs_hook=keep_sorted, parse_float=no_float)
    again = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == golden(name)


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_leaves_no_field_empty(name):
    """So that a golden file pins the form of every field."""

    def empties(value, path):
        if isinstance(value, dict):
            return [
                found for key, part in value.items() for found in empties(part, f"{path}.{key}")
            ]
        return [path] if value is None else []

    assert empties(examples.event(name), "") == []


def test_every_golden_body_of_every_version_reads_as_the_newest():
    for path in GOLDEN.glob("*.json"):
        body = decode_event(path.read_bytes())
        assert isinstance(body, dict), f"{path.name}: {body}"
        assert body["type_version"] == NEWEST[body["type"]], path.name


def test_no_event_has_an_older_form_before_the_first_release():
    assert STEPS == {}
    assert set(NEWEST.values()) == {1}
