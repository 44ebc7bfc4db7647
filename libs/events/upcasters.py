"""Older forms of events, read as the newest: stored bytes are never rewritten.

Until version 0.1 is tagged there is one form of each event, so there is no step yet. A step
belongs to (type, type_version) and returns the body in the next version; the hash of an event
is always that of the bytes as they are stored.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Body = dict[str, Any]
Step = Callable[[Body], Body]

STEPS: Final[Mapping[tuple[str, int], Step]] = {}


def upcast(body: Body, steps: Mapping[tuple[str, int], Step] = STEPS) -> Body:
    """The body in its newest form, the given one untouched.

    Raises ValueError for a step that does not lead to the next version of the same type.
    """
    while step := steps.get((body["type"], body["type_version"])):
        newer = step({**body, "data": {**body["data"]}})
        if (newer["type"], newer["type_version"]) != (body["type"], body["type_version"] + 1):
            raise ValueError(f"the step of {body['type']} {body['type_version']} leads elsewhere")
        body = newer
    return body
