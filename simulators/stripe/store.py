"""Everything the stand-in knows: one dict of objects per kind, listed newest first."""

import secrets
from collections.abc import Callable
from typing import Any

from simulators.stripe.errors import invalid, missing
from simulators.stripe.forms import Params

Row = dict[str, Any]
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


class Store:
    """Objects by kind and id, in the order they were made. `now` is in seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._rows: dict[str, dict[str, Row]] = {}

    def created(self) -> int:
        return int(self.now())

    def add(self, kind: str, prefix: str, **fields: Any) -> Row:
        """Make an object of this kind with a fresh id."""
        row = {
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "object": kind,
            "created": self.created(),
            "livemode": False,
            **fields,
        }
        self._rows.setdefault(kind, {})[row["id"]] = row
        return row

    def get(self, kind: str, ident: str) -> Row:
        """The object itself (not a copy), or Stripe's 404."""
        try:
            return self._rows.get(kind, {})[ident]
        except KeyError:
            raise missing(kind, ident) from None

    def find(self, kind: str, **fields: Any) -> list[Row]:
        """Objects with exactly these field values, newest first."""
        rows = reversed(list(self._rows.get(kind, {}).values()))
        return [row for row in rows if all(row.get(key) == fields[key] for key in fields)]

    def page(
        self,
        kind: str,
        params: Params,
        url: str,
        filters: tuple[str, ...] = (),
        keep: Callable[[Row], bool] = lambda _row: True,
    ) -> Row:
        """A list answer: newest first, filtered, with cursors."""
        rows = self.find(kind, **{name: params[name] for name in filters if name in params})
        if "created" in params:
            rows = [row for row in rows if _within(row["created"], params["created"])]
        return _cut([row for row in rows if keep(row)], params, url)


def _within(value: int, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return value == int(wanted)
    return all(_BOUNDS[name](value, int(bound)) for name, bound in wanted.items())


def _cut(rows: list[Row], params: Params, url: str) -> Row:
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        raise invalid("Invalid limit: it must be between 1 and 100", param="limit")
    ids = [row["id"] for row in rows]
    if "starting_after" in params:
        rows = rows[_place(ids, params["starting_after"]) + 1 :]
    if "ending_before" in params:
        before = rows[: _place(ids, params["ending_before"])]
        return _answer(before[-limit:], url, has_more=len(before) > limit)
    return _answer(rows[:limit], url, has_more=len(rows) > limit)


def _place(ids: list[str], ident: str) -> int:
    if ident not in ids:
        raise invalid(f"No such object: '{ident}'", param="starting_after", code="resource_missing")
    return ids.index(ident)


def _answer(rows: list[Row], url: str, *, has_more: bool) -> Row:
    return {"object": "list", "url": url, "has_more": has_more, "data": rows}
