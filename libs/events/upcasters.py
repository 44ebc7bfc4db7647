"""Older forms of events, read as the newest: stored bytes are never rewritten.

Whoever interprets the data of a stored event reads it through `newest`. A step belongs to
(type, type_version) and returns the body in the next version; it changes `data` alone, for the
envelope has one form for ever. The hash of an event is always that of the bytes as they are stored.
"""

from collections.abc import Callable
from typing import Any, Final

from libs.events.events import EVENTS

Body = dict[str, Any]
Step = Callable[[Body], Body]

NEWEST: Final[dict[str, int]] = {
    name: cls.model_fields["type_version"].default for name, cls in EVENTS.items()
}
"""The version of each type that is written now, and that programs know."""

STEPS: Final[dict[tuple[str, int], Step]] = {}
"""Until version 0.1 is tagged there is one form of each event, so there is no step yet."""


class UnknownVersionError(ValueError):
    """A known type in a version that no step leads from: this program is too old for it."""


class UpcastError(ValueError):
    """A step failed, or leads elsewhere than to the next version of its type: a fault of ours."""


def newest(body: Body) -> Body:
    """The body in its newest form: itself when it has it already, or when its type is unknown.

    The given body stays as it was. Raises UnknownVersionError or UpcastError; LookupError or
    TypeError for what is no body at all.
    """
    known = NEWEST.get(body["type"])
    if known is None or body["type_version"] == known:
        return body
    return _stepwise(body, known)


def _stepwise(body: Body, known: int) -> Body:
    kind, version = body["type"], body["type_version"]
    if type(version) is not int:
        raise TypeError(f"type_version is {version!r}")
    while version != known:
        step = STEPS.get((kind, version))
        if step is None:
            raise UnknownVersionError(f"{kind} of version {version}; this program knows {known}")
        try:
            newer = step({**body, "data": {**body["data"]}})
            reached = newer["type"], newer["type_version"]
        except Exception as error:
            raise UpcastError(f"the step of {kind} {version}: {error!r}") from error
        if reached != (kind, version + 1):
            raise UpcastError(f"the step of {kind} {version} leads to {reached}")
        body, version = newer, version + 1
    return body
