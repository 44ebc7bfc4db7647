"""The load step of a batch: everything its decisions may need, read before the first of them."""

from collections.abc import Mapping, Sequence

from libs.events.commands import Clawback, ReverseClawback
from libs.events.ids import partition_stream
from services.ledger.answers import Recorded
from services.ledger.command_key import CommandKey, key_of
from services.ledger.domain.grants import from_data
from services.ledger.domain.pasts import ended
from services.ledger.domain.state import Lot, Past, Refunded
from services.ledger.loaded import NOTHING, Loaded
from services.ledger.named import NEED_LOTS, is_derived, named_reservation, start_key
from services.ledger.pending import Pending
from services.ledger.store import CommandRow, Store
from services.ledger.working_set import WorkingSet

Named = tuple[str, str]
"""(account_id, res)."""
ENDS = {
    "ExpireReservation": "ReservationExpired",
    "Release": "CreditsReleased",
    "Settle": "CreditsCharged",
}
"""What can end a reservation, in the order in which it can happen to one."""


async def load(
    store: Store,
    working: WorkingSet,
    batch: Sequence[Pending],
    rows: dict[CommandKey, CommandRow],
) -> Loaded:
    """Read what the commands of a batch need: accounts, and what remains of closed holds.

    `rows` are the commands of the batch that the log is known to hold.
    """
    # Not a difference of sets: that would go over the whole cache.
    accounts = working.accounts
    missing = {p.command.account_id for p in batch if p.command.account_id not in accounts}
    missing.discard(partition_stream(store.partition))  # no account: it has no row of its own
    if missing:
        accounts.update(await store.accounts(missing))
    starts = [start for p in batch if (start := start_key(p.command))]
    if starts:
        rows = {**rows, **await store.commands(starts)}
    closed = _on_closed(working, batch, rows)
    rare = [p for p in batch if p.command.kind in NEED_LOTS and p.key not in rows]
    derived = [p.command.caller_id for p in batch if is_derived(p.command)]
    owners = await store.owners(derived) if derived else {}
    if not closed and not rare and not rows:
        return NOTHING._replace(owners=owners) if owners else NOTHING
    past_rows = await _past_rows(store, closed)
    refunds = {_named(p) for p in rare if p.command.kind == "Refund"} & closed
    events = await _events(store, rows, past_rows, refunds)
    refunded = await store.refunded(res for _, res in refunds) if refunds else {}
    pasts = {
        named: _charged(found, events, refunded.get(named, Refunded()))
        if named in refunds
        else _past(found, events)
        for named, found in past_rows.items()
    }
    pasts.update(await _given_back(store, pasts))
    lots = await _lots(store, rare, {named: pasts[named] for named in refunds}) if rare else {}
    return Loaded(rows, events, pasts, lots, owners)


def _named(pending: Pending) -> Named:
    return pending.command.account_id, named_reservation(pending.command) or ""


async def _lots(
    store: Store, rare: Sequence[Pending], charged: Mapping[Named, Past]
) -> dict[str, dict[int, Lot]]:
    """The lots that refunds may return to, and those of the payments that claims are about."""
    taken = {
        (account_id, no)
        for (account_id, _), past in charged.items()
        for data in past.charges
        for no, _ in from_data(data["taken"])
    }
    lots = await store.lots_by_number(sorted(taken)) if taken else {}
    claims = [p.command for p in rare if p.command.kind != "Refund"]
    if claims:
        found = await store.lots_by_payment(
            {claim.account_id for claim in claims},
            {c.data.payment for c in claims if isinstance(c, Clawback) and c.data.payment},
            {c.data.cause for c in claims if isinstance(c, ReverseClawback)},
        )
        for account_id, of_account in found.items():
            lots[account_id] = {**lots.get(account_id, {}), **of_account}
    return lots


def _on_closed(
    working: WorkingSet, batch: Sequence[Pending], rows: dict[CommandKey, CommandRow]
) -> set[Named]:
    """The reservations that commands name although no such reservation is open."""
    named = set()
    for pending in batch:
        res = named_reservation(pending.command)
        held = working.reservations.get(res) if res is not None else None
        if res is None or (held and held.account_id == pending.command.account_id):
            continue
        if pending.key not in rows and pending.key not in working.commands:
            named.add((pending.command.account_id, res))
    return named


def _keys_of(account_id: str, res: str) -> dict[str, CommandKey]:
    """The commands that can have opened or closed a reservation, by kind."""
    callers = {"Reserve": res, "Settle": res, "Release": res, "ExpireReservation": f"expire:{res}"}
    return {kind: key_of(caller, kind, account_id) for kind, caller in callers.items()}


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
    refunds: set[Named],
) -> dict[int, Recorded]:
    wanted = list(rows.values())
    for named, found in past_rows.items():
        if named in refunds:
            wanted += found.values()
        elif "ExpireReservation" in found:
            wanted.append(found["ExpireReservation"])
    positions = [row.position + i for row in wanted for i in range(row.event_count)]
    return await store.events(positions) if positions else {}


def _past(found: dict[str, CommandRow], events: dict[int, Recorded]) -> Past:
    for kind, how in (("Settle", "settled"), ("Release", "released")):
        if kind in found:
            return Past(how, found[kind].position)
    if "ExpireReservation" not in found:
        return Past("unknown")
    return _ended(Past("open"), _of_type(events, found["ExpireReservation"], "ReservationExpired"))


def _charged(found: dict[str, CommandRow], events: dict[int, Recorded], refunded: Refunded) -> Past:
    """The past with everything that was charged, expiry first: a late settlement comes after."""
    if "Reserve" not in found:
        return Past("unknown")
    reserved = _of_type(events, found["Reserve"], "CreditsReserved")
    past = Past("open", accrued=reserved.data["fee"], refunded=refunded)
    for kind, name in ENDS.items():
        if kind in found:
            past = _ended(past, _of_type(events, found[kind], name))
    return past if past.how != "open" else Past("unknown")


async def _given_back(store: Store, pasts: Mapping[Named, Past]) -> dict[Named, Past]:
    """Those that expiry charged and a refund gave back: to settle them accrues the fee again."""
    charged = {n: past for n, past in pasts.items() if past.how == "expired" and not past.fee}
    fees = await store.fees_given_back(res for _, res in charged) if charged else {}
    return {named: charged[named]._replace(fee=fees[named]) for named in charged if named in fees}


def _ended(past: Past, event: Recorded) -> Past:
    if event.type == "ReservationExpired":
        past = past._replace(amount=int(event.data["amount"]))
    return ended(past, event.type, event.data, event.position)


def _of_type(events: dict[int, Recorded], row: CommandRow, name: str) -> Recorded:
    for position in range(row.position, row.position + row.event_count):
        if events[position].type == name:
            return events[position]
    raise LookupError(f"the command at {row.position} wrote no {name}")
