"""The load step of a batch: everything its decisions may need, read before the first of them."""

from collections.abc import Sequence

from libs.events.commands import KIND_CODES
from libs.events.ids import caller_bytes
from services.ledger.answers import Recorded
from services.ledger.batch import Loaded, Pending, named_reservation
from services.ledger.domain.state import Past
from services.ledger.store import CommandKey, CommandRow, Store
from services.ledger.working_set import WorkingSet

Named = tuple[str, str]
"""(account_id, res)."""


async def load(store: Store, working: WorkingSet, batch: Sequence[Pending]) -> Loaded:
    """Look up every command that is not in memory, and what a command on a closed hold needs."""
    unknown = {p.key for p in batch if p.key not in working.commands}
    rows = await store.commands(list(unknown)) if unknown else {}
    # Not a difference of sets: that would go over the whole cache.
    named = {p.command.account_id for p in batch}
    missing = {account_id for account_id in named if account_id not in working.accounts}
    if missing:
        working.accounts.update(await store.accounts(missing))
    closed = _on_closed(working, batch, rows)
    past_rows = await _past_rows(store, closed)
    events = await _events(store, rows, past_rows)
    pasts = {named: _past(found, events) for named, found in past_rows.items()}
    return Loaded(rows, events, pasts)


def _on_closed(
    working: WorkingSet, batch: Sequence[Pending], rows: dict[CommandKey, CommandRow]
) -> set[Named]:
    """The reservations that commands name although no such reservation is open."""
    named = set()
    for pending in batch:
        res = named_reservation(pending.command)
        if res is None or res in working.reservations:
            continue
        if pending.key not in rows and pending.key not in working.commands:
            named.add((pending.command.account_id, res))
    return named


def _keys_of(account_id: str, res: str) -> dict[str, CommandKey]:
    """The commands that can have opened or closed a reservation, by kind."""
    callers = {"Reserve": res, "Settle": res, "Release": res, "ExpireReservation": f"expire:{res}"}
    return {
        kind: CommandKey(caller_bytes(caller), KIND_CODES[kind], account_id)
        for kind, caller in callers.items()
    }


async def _past_rows(store: Store, closed: set[Named]) -> dict[Named, dict[str, CommandRow]]:
    if not closed:
        return {}
    keys = {named: _keys_of(*named) for named in closed}
    rows = await store.commands([key for of in keys.values() for key in of.values()])
    return {
        named: {kind: rows[key] for kind, key in of.items() if key in rows}
        for named, of in keys.items()
    }


async def _events(
    store: Store,
    rows: dict[CommandKey, CommandRow],
    past_rows: dict[Named, dict[str, CommandRow]],
) -> dict[int, Recorded]:
    wanted = list(rows.values())
    for found in past_rows.values():
        if "ExpireReservation" in found:
            wanted += [found["ExpireReservation"], found["Reserve"]]
    positions = [row.position + i for row in wanted for i in range(row.event_count)]
    return await store.events(positions) if positions else {}


def _past(found: dict[str, CommandRow], events: dict[int, Recorded]) -> Past:
    for kind, how in (("Settle", "settled"), ("Release", "released")):
        if kind in found:
            return Past(how, found[kind].position)
    if "ExpireReservation" not in found:
        return Past("unknown")
    expired = _of_type(events, found["ExpireReservation"], "ReservationExpired")
    reserved = _of_type(events, found["Reserve"], "CreditsReserved")
    amount, fee = int(expired.data["amount"]), reserved.data["fee"]
    return Past("expired", expired.position, amount, fee)


def _of_type(events: dict[int, Recorded], row: CommandRow, name: str) -> Recorded:
    for position in range(row.position, row.position + row.event_count):
        if events[position].type == name:
            return events[position]
    raise LookupError(f"the command at {row.position} wrote no {name}")
