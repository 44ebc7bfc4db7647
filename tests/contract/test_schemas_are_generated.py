import json

from libs.events.commands import COMMANDS
from libs.events.events import EVENTS
from libs.events.replies import REPLIES
from libs.events.schemas_gen import SCHEMAS, expected_files


def test_every_committed_schema_and_the_reference_page_are_what_the_models_say():
    differing = [
        str(path)
        for path, text in expected_files().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert differing == [], "run `make schemas` and read the difference"


def test_no_schema_is_left_of_a_message_that_is_no_more():
    assert {path for path in SCHEMAS.rglob("*") if path.is_file()} <= set(expected_files())


def test_there_is_one_schema_for_every_message():
    names = {str(path.relative_to(SCHEMAS)) for path in SCHEMAS.rglob("*.json")}
    assert names == (
        {f"commands/{name}.v1.json" for name in COMMANDS}
        | {f"events/{name}.v1.json" for name in EVENTS}
        | {f"replies/{name}.v1.json" for name in REPLIES}
    )


def test_every_field_of_every_message_is_required_and_no_other_allowed():
    for path in SCHEMAS.rglob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        for part in (schema, *schema.get("$defs", {}).values()):
            if "properties" in part:
                absent = set(part["properties"]) - set(part.get("required", ()))
                # A reply carries the balances when its command moved credits.
                assert absent in (set(), {"available", "reserved"}), path
                assert not absent or path.parent.name == "replies", path
                assert part["additionalProperties"] is False, path
