"""Lists of the JSON APIs: page by page, as JSON or as CSV.

A page of CSV is the page of JSON as a table: the same rows, amounts as decimal texts. Where the
next page begins stands in the header `Link` (RFC 8288), and in `Farebox-Next`.
"""

import csv
import io
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlencode

import orjson
from fastapi import Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from services.gateway.fields import Money

CSV_TYPE: Final = "text/csv"
CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A page.",
        "content": {CSV_TYPE: {"schema": {"type": "string"}}},
    }
}
"""For the routes of lists: their pages are also told as a table."""
NEXT_HEADER: Final = "farebox-next"
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_QUALITY: Final = re.compile(r"([01])(?:\.([0-9]{0,3}))?")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

Limit = Annotated[int, Query(ge=1, le=500, description="Rows of a page, at most.")]
PAGE: Final = 100


@dataclass(frozen=True)
class Form:
    """How the caller wants a list: which page was asked for, and whether as a table."""

    path: str
    query: tuple[tuple[str, str], ...]
    as_csv: bool

    def of(self, page: BaseModel, rows: str) -> Response | BaseModel:
        """The page as it is answered; `rows` names the field that is the table."""
        if not self.as_csv:
            return page
        told: list[Any] = getattr(page, rows)
        headers = {"content-disposition": f'attachment; filename="{rows}.csv"'}
        for name in ("next", "as_of_position"):
            if (value := getattr(page, name, None)) is not None:
                headers[f"farebox-{name.replace('_', '-')}"] = str(value)
        if NEXT_HEADER in headers:
            headers["link"] = f'<{self._following(headers[NEXT_HEADER])}>; rel="next"'
        columns = _columns(type(page), rows, told)
        return Response(table(columns, told), 200, headers, f"{CSV_TYPE}; charset=utf-8")

    def _following(self, after: str) -> str:
        kept = [(name, value) for name, value in self.query if name != "after"]
        return f"{self.path}?{urlencode([*kept, ('after', after)])}"


def _form(
    request: Request,
    format: Annotated[  # noqa: A002 - the parameter's name in the API
        Literal["json", "csv"] | None,
        Query(description="In place of the header Accept: `text/csv` gives a table."),
    ] = None,
) -> Form:
    as_csv = prefers_csv(request.headers.get("accept", "")) if format is None else format == "csv"
    return Form(request.url.path, tuple(request.query_params.multi_items()), as_csv)


TheForm = Annotated[Form, Depends(_form)]


def prefers_csv(accept: str) -> bool:
    """Whether an Accept header wants a table rather than JSON (RFC 9110 §12.5.1)."""
    wanted = {"text/csv": 0, "application/json": 0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind in wanted:
            wanted[kind] = _quality(parameters)
    return wanted["text/csv"] > wanted["application/json"]


def _quality(parameters: list[str]) -> int:
    """In thousandths; nothing is wanted by a quality that is none."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            match = _QUALITY.fullmatch(value)
            return int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0")) if match else 0
    return 1000


def table(columns: list[str], rows: list[Any]) -> str:
    """Rows as CSV (RFC 4180), with a header; money takes two columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        cells = _cells(row if isinstance(row, dict) else row.model_dump(mode="json"))
        writer.writerow([cell_text(cells.get(column)) for column in columns])
    return out.getvalue()


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
            cells |= {f"{name}_{part}": value[part] for part in value}
        else:
            cells[name] = value
    return cells


def _columns(page: type[BaseModel], rows: str, told: list[Any]) -> list[str]:
    """Of a model its fields, whether or not there is a row; of free rows what they have."""
    (kind,) = get_args(page.model_fields[rows].annotation)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return list(dict.fromkeys(name for row in told for name in _cells(row)))
    columns: list[str] = []
    for name, field in kind.model_fields.items():
        money = Money in (field.annotation, *get_args(field.annotation))
        columns += [f"{name}_amount", f"{name}_currency"] if money else [name]
    return columns


def cell_text(value: Any) -> str:
    """A value as a cell. No text begins like a formula, which a spreadsheet would carry out."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    text = str(value)
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
