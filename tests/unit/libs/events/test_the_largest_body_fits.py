"""The bounds of the fields together keep every body under 16 KiB, whatever stands in it."""

import re
from typing import Any

import pytest

from libs.events.codec import canonical, decode_event
from libs.events.events import EVENTS
from libs.events.fields import MAX_MESSAGE

PRINTABLE = re.compile(r"\^\[ -~\]\{\d+,(\d+)\}\$")
LONGEST = {
    "^[A-Z]{3}$": "USD",
    "^(?:[A-Z]{3}|CREDIT)$": "CREDIT",
    "^[a-z0-9_.:-]{1,64}$": "r" * 64,
    "^[A-Za-z0-9_-]{1,24}$": "p" * 24,
    "^[A-Za-z0-9_-]{1,64}$": "c" * 64,
    "^2[0-9]{3}-[0-9]{2}-[0-9]{2}$": "2026-11-20",
    "^2[0-9]{3}-[0-9]{2}$": "2026-11",
    "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$": f"00-{'a' * 32}-{'b' * 16}-01",
    "^part_(?:0|[1-9][0-9]{0,4})$": "part_32767",
    "^(?:acct_[0-9a-f]{32}|part_(?:0|[1-9][0-9]{0,4}))$": "acct_" + "a" * 32,
    "^(?:manual|(?:dispute|warning):[A-Za-z0-9_]{1,64})$": "dispute:" + "d" * 64,
    "^(?:adjustment|write_off|(?:refund|dispute):[A-Za-z0-9_]{1,64})$": "dispute:" + "d" * 64,
    "^[0-9a-f]{64}$": "f" * 64,
}


def largest(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The value that takes the most bytes among all that the schema allows."""
    if "$ref" in schema:
        return largest(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        return max(
            (largest(part, definitions) for part in schema["anyOf"]),
            key=lambda value: len(str(value)),
        )
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return max(schema["enum"], key=len)
    match schema["type"]:
        case "string":
            return longest_text(schema)
        case "integer":
            return max(schema["maximum"], schema["minimum"], key=lambda value: len(str(value)))
        case "boolean":
            return False
        case "null":
            return None
        case "array" if "prefixItems" in schema:
            return [largest(part, definitions) for part in schema["prefixItems"]]
        case "array":
            return [largest(schema["items"], definitions)] * schema["maxItems"]
    if "patternProperties" in schema:
        ((pattern, values),) = schema["patternProperties"].items()
        width = int(re.search(r"\{1,(\d+)\}", pattern)[1])
        value = largest(values, definitions)
        return {f"{n:0{width}d}": value for n in range(schema["maxProperties"])}
    return {name: largest(part, definitions) for name, part in schema["properties"].items()}


def longest_text(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "2026-11-20T19:10:38.000123Z"
    if "digit string" in schema.get("description", ""):
        low, high = re.search(r"(-?\d+) to (\d+)", schema["description"]).groups()
        return max(low, high, key=len)
    pattern = schema["pattern"]
    if printable := PRINTABLE.fullmatch(pattern):
        return "\\" * int(printable[1])  # a backslash takes two bytes in JSON
    if named := re.fullmatch(r"\^([a-z]+)_\[0-9a-f\]\{32\}\$", pattern):
        return f"{named[1]}_{'a' * 32}"
    return LONGEST[pattern]


def largest_body(name: str) -> dict[str, Any]:
    schema = EVENTS[name].model_json_schema(mode="serialization")
    body: dict[str, Any] = largest(schema, schema["$defs"])
    if "taken" in body["data"]:
        # The two are one allocation cut in two: at most one grant stands in both.
        body["data"]["returned"] = body["data"]["returned"][:1]
    return body


@pytest.mark.parametrize("name", EVENTS)
def test_the_largest_body_of_each_type_is_valid_and_within_16_kib(name):
    body = largest_body(name)
    raw = canonical(body)
    assert len(raw) <= MAX_MESSAGE
    assert decode_event(raw) == body


def test_the_measure_is_a_charge_over_200_grants():
    body = largest_body("CreditsCharged")
    assert len(body["data"]["taken"]) == 200
    assert len(canonical(body)) > 15_000
