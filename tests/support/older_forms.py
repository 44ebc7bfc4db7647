"""Two events that really changed, in a copy of the catalogue: the log may hold every form of them.

CreditsGranted had no priority once, and what was paid stood in two fields. The allocation of
CreditsReserved was a map first, then its fee did not name a schedule.
"""

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field

from libs.events import codec, events
from libs.events.upcasters import NEWEST, STEPS

Body = dict[str, Any]


class CreditsGranted(events.CreditsGranted):
    type_version: Annotated[int, Field(strict=True, ge=2, le=2)] = 2


class CreditsReserved(events.CreditsReserved):
    type_version: Annotated[int, Field(strict=True, ge=3, le=3)] = 3


MODELS = {"CreditsGranted": CreditsGranted, "CreditsReserved": CreditsReserved}


def granted_2(body: Body) -> Body:
    data = body["data"]
    currency, minor = data.pop("paid_currency"), data.pop("paid_minor")
    data["paid"] = None if currency is None else {"currency": currency, "minor": minor}
    data["priority"] = 0
    return body | {"type_version": 2}


def reserved_2(body: Body) -> Body:
    data = body["data"]
    data["from"] = [[int(no), part] for no, part in data["from"].items()]
    return body | {"type_version": 2}


def reserved_3(body: Body) -> Body:
    data = body["data"]
    if data["fee"] is not None:
        data["fee"] = {**data["fee"], "schedule": "fidelity-1"}
    return body | {"type_version": 3}


OLDER = {
    ("CreditsGranted", 1): granted_2,
    ("CreditsReserved", 1): reserved_2,
    ("CreditsReserved", 2): reserved_3,
}


def oldest(body: Body) -> Body:
    """The first form of a body in its newest one: what an old program wrote."""
    data = dict(body["data"])
    if body["type"] == "CreditsGranted":
        paid = data.pop("paid") or {"currency": None, "minor": None}
        del data["priority"]
        data |= {"paid_currency": paid["currency"], "paid_minor": paid["minor"]}
    elif body["type"] == "CreditsReserved":
        data["from"] = {str(no): part for no, part in data["from"]}
        if data["fee"] is not None:
            data["fee"] = {k: v for k, v in data["fee"].items() if k != "schedule"}
    return body | {"type_version": 1, "data": data}


def middle(body: Body) -> Body:
    """The second form of CreditsReserved; of other types the first."""
    body = oldest(body)
    return reserved_2(body) if body["type"] == "CreditsReserved" else body


@contextlib.contextmanager
def changed_events() -> Iterator[None]:
    """As if this program knew the newest forms, and the steps that lead to them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, model in MODELS.items():
            patch.setitem(events.EVENTS, name, model)
            patch.setitem(NEWEST, name, model.model_fields["type_version"].default)
        for key, step in OLDER.items():
            patch.setitem(STEPS, key, step)
        patch.setattr(codec, "_events", codec._one_of(events.EVENTS.values(), "type"))
        yield
