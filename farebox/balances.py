"""`farebox admin import`: balances that accounts had elsewhere, from a CSV file.

A row is done once, whatever happens: the account is found by its external_id, and the credits are
granted under a key made of the row's external_id and reference. Repeating the file is safe; a row
that says another amount under the same reference is refused.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from farebox.admin_client import TIMEOUT_S
from libs.events.ids import account_for_external_id
from libs.events.money import parse_decimal

_NEEDED: Final = ("external_id", "plan", "amount")
_KNOWN: Final = (*_NEEDED, "reference", "note", "expires_at")


class BalancesRefused(Exception):
    """The file cannot be imported; each of `faults` names a line. Nothing was sent."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Row:
    """One balance: `reference` tells two balances of one account apart."""

    line: int
    external_id: str
    plan: str
    amount: str
    reference: str
    note: str | None
    expires_at: str | None

    @property
    def account_id(self) -> str:
        return account_for_external_id(self.external_id)

    @property
    def key(self) -> str:
        facts = f"import\0{self.external_id}\0{self.reference}"
        return "import-" + hashlib.sha256(facts.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a row: planned, imported or refused, and why."""

    row: Row
    outcome: str
    detail: str = ""


def read_rows(file: Path) -> list[Row]:
    """All rows of a file. Raises BalancesRefused with every fault at once."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            faults = _header_faults(reader.fieldnames or ())
            rows = [] if faults else [_row(reader.line_num, values) for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BalancesRefused([f"{file} cannot be read: {error}"]) from error
    faults += [fault for row in rows for fault in _row_faults(row)] + _repeated(rows)
    if faults:
        raise BalancesRefused(faults)
    return rows


def admin_client(url: str, token: str) -> httpx.Client:
    """A client of the admin API; the caller closes it."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{url}/admin/v1", headers=headers, timeout=TIMEOUT_S)


class Import:
    """Sends rows to the admin API; `client` has its address and token."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def plan(self, row: Row) -> Done:
        """What would be done; nothing is changed."""
        answer = self._client.get(f"/accounts/{row.account_id}")
        if answer.status_code == 404:
            return Done(row, "planned", f"open on {row.plan}, grant {row.amount}")
        if answer.is_error:
            return Done(row, "refused", _reason(answer))
        facts = answer.json()
        if facts["plan"] != row.plan:
            return Done(row, "refused", f"the account is on plan {facts['plan']}")
        return Done(row, "planned", f"account is open with {facts['total']}, grant {row.amount}")

    def carry_out(self, row: Row) -> Done:
        """Open the account if need be and grant the balance, once."""
        opened = self._post(
            "/accounts", {"plan": row.plan, "external_id": row.external_id}, f"{row.key}-open"
        )
        if opened.is_error:
            return Done(row, "refused", _reason(opened))
        body = {
            "amount": row.amount,
            "source": "import",
            "reason_code": "import",
            "note": row.note,
            "expires_at": row.expires_at,
        }
        granted = self._post(f"/accounts/{row.account_id}/grants", body, row.key)
        if granted.status_code == 422 and granted.json().get("code") == "idempotency_key_reused":
            detail = f"reference {row.reference!r} was imported before with other contents"
            return Done(row, "refused", detail)
        if granted.is_error:
            return Done(row, "refused", _reason(granted))
        return Done(row, "imported", f"{granted.json()['grant_id']} {row.amount}")

    def _post(self, path: str, body: Mapping[str, Any], key: str) -> httpx.Response:
        return self._client.post(path, json=body, headers={"idempotency-key": key})


def _header_faults(names: Any) -> list[str]:
    faults = [f'line 1: column "{name}" is missing' for name in _NEEDED if name not in names]
    unknown = [name for name in names if name not in _KNOWN]
    known = ", ".join(_KNOWN)
    return faults + [f'line 1: column "{name}" is not known; known: {known}' for name in unknown]


def _row(line: int, values: Mapping[str | None, Any]) -> Row:
    def text(name: str) -> str:
        return (values.get(name) or "").strip()

    # More cells than columns: something is not where it seems to be.
    surplus = None in values
    return Row(
        line=line,
        external_id=text("external_id"),
        plan=text("plan"),
        amount="too many cells" if surplus else text("amount"),
        reference=text("reference") or "balance",
        note=text("note") or None,
        expires_at=text("expires_at") or None,
    )


def _row_faults(row: Row) -> Iterator[str]:
    if not row.external_id:
        yield f"line {row.line}: external_id is empty"
    if not row.plan:
        yield f"line {row.line}: plan is empty"
    if not _is_amount(row.amount):
        yield f'line {row.line}: amount "{row.amount}" is not a decimal above 0, such as 12.50'


def _is_amount(text: str) -> bool:
    """The unit is the plan's: here only what no unit allows is refused."""
    try:
        return parse_decimal(text, "USD") > 0
    except ValueError:
        return False


def _repeated(rows: list[Row]) -> list[str]:
    first: dict[tuple[str, str], int] = {}
    faults = []
    for row in rows:
        line = first.setdefault((row.external_id, row.reference), row.line)
        if line != row.line:
            faults.append(
                f"line {row.line}: {row.external_id} stands in line {line} already; "
                'tell them apart in a column "reference"'
            )
    return faults


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return f"the admin API answered {answer.status_code}"
