"""One batch of commands, decided in memory. No I/O: what it needs was loaded before."""

import logging
from collections.abc import Callable, Mapping
from typing import cast

import orjson

from libs.events.commands import Command, PublishCatalogue
from libs.events.events import TYPE_CODES
from services.ledger.answers import accepted, refused, unwritten
from services.ledger.bodies import BodyTooLarge, Log, chained
from services.ledger.cold import CHANGING, LotChanges
from services.ledger.columns import Columns, bare
from services.ledger.command_key import CommandKey, key_columns
from services.ledger.domain.catalogues import decide_publish
from services.ledger.domain.decide import decide
from services.ledger.domain.notes import note_of
from services.ledger.domain.pasts import ended
from services.ledger.domain.state import (
    Accepted,
    Declined,
    Event,
    Lot,
    Moment,
    Past,
    Refusal,
    Reservation,
    State,
)
from services.ledger.loaded import NOTHING, Loaded
from services.ledger.named import NEED_LOTS, PLAIN, is_derived, named_reservation, start_key
from services.ledger.pending import Pending
from services.ledger.slot import EMPTY, Slot
from services.ledger.working_set import PRINT_BYTES, Overlay, WorkingSet, remember

log = logging.getLogger(__name__)


class Batch:
    """Decides commands one after the other; `columns`, `replies` and `overlay` are the outcome."""

    def __init__(
        self,
        working: WorkingSet,
        loaded: Loaded,
        log: Log,
        now: Moment,
        under: Overlay | None = None,
    ) -> None:
        self.overlay = Overlay(working, under)
        self.loaded = loaded
        self.log = log
        self.at(now)
        self.position = log.position
        self.columns = Columns()
        self.replies: list[tuple[str, bytes]] = []
        self.decided = 0
        """How many commands were run."""
        self.refused: list[CommandKey] = []
        """Commands that were not accepted: the log is asked for them before they are answered."""
        self._keys: dict[str, tuple[str, Event | None, int]] = {}
        self._first: dict[str, tuple[Reservation, int]] = {}
        """Holds opened in this batch as their event says, and where that stands."""
        self._lots = LotChanges()

    @property
    def end(self) -> Log:
        """Where the log ends once this batch is appended."""
        return Log(self.log.partition, self.log.incarnation, self.position)

    def following(self) -> "Batch":
        """An empty batch that stands on this one, whose append has not ended."""
        return Batch(self.overlay.base, NOTHING, self.end, self.now, self.overlay)

    def at(self, now: Moment) -> None:
        """Decide what comes from here on at this moment."""
        self.now = now
        self.overlay.at(now.text)

    def run(self, pending: Pending) -> None:
        """Decide one command; an earlier acceptance of the same command answers it instead."""
        reply = self._repeat(pending) or self._decide(pending)
        self.decided += 1
        if pending.reply_to is not None:
            self.replies.append((pending.reply_to, reply))

    def knows(self, pending: Pending) -> bool:
        """Whether this command may be decided with what is in memory, and without a look-up."""
        command, overlay = pending.command, self.overlay
        if command.kind not in PLAIN or overlay.slot(command.account_id) is None:
            return False
        res = named_reservation(command)
        if res is None:
            return not is_derived(command)
        held = overlay.reservation(res)
        return held is not None and held.account_id == command.account_id

    def finish(self) -> None:
        """Write the final row of each account and key that changed: one row each.

        Once all that stands below is committed. (An account that was dropped from memory meanwhile
        costs the longer statement, which writes the same.)
        """
        if self.overlay.under is not None:
            raise AssertionError("a batch is finished while the one below it is not")
        committed, columns = self.overlay.base.accounts, self.columns
        for account_id, changed in self.overlay.accounts.items():
            if changed.account is not None:
                before = committed.get(account_id, EMPTY).account
                columns.account(
                    changed.account, before, changed.version, changed.position, changed.head
                )
        for res, reservation in self.overlay.opened.items():
            if res in self._first:
                first, position = self._first[res]
                columns.open(reservation, position, as_opened=reservation is first)
            else:
                columns.extend(reservation)
        columns.lots(self._lots)
        for key_id, (account_id, event, position) in self._keys.items():
            slot = self.overlay.slot(account_id)
            if slot is None or slot.account is None:
                continue
            key = slot.account.keys[key_id]
            if event is not None:
                columns.issue(event, key, position)
            else:
                columns.change_key(key)

    def _repeat(self, pending: Pending) -> bytes | None:
        remembered = self.overlay.remembered(pending.key)
        if remembered is not None:
            if remembered[:PRINT_BYTES] == pending.fingerprint:
                return remembered[PRINT_BYTES:]
            first = orjson.loads(remembered[PRINT_BYTES:])
            position = first["position"] - first["event_count"] + 1
            return self._conflict(pending, position)
        row = self.loaded.commands.get(pending.key)
        if row is None:
            return None
        if row.fingerprint != pending.fingerprint:
            return self._conflict(pending, row.position)
        events = [self.loaded.events[row.position + i] for i in range(row.event_count)]
        command = pending.command
        # Of the incarnation that wrote them: a repeat gets the first reply to the letter.
        last = events[-1]
        answer = accepted(command.kind, command.account_id, last.incarnation, events, last.position)
        reply = orjson.dumps(answer)
        self.overlay.commands[pending.key] = remember(row.fingerprint, reply)
        return reply

    def _conflict(self, pending: Pending, first_position: int) -> bytes:
        data = {"code": "fingerprint", "first_position": first_position}
        return orjson.dumps(
            unwritten("Conflict", pending.command.account_id, self.log.incarnation, data)
        )

    def _decide(self, pending: Pending) -> bytes:
        command = pending.command
        slot = self.overlay.slot(command.account_id) or EMPTY
        if command.kind == "Reserve":
            refused = self._refuse_reserve(command)
            if refused is not None:
                return self._refuse(pending, refused)
        elif command.kind == "PublishCatalogue":
            return self._publish(pending)
        try:
            decision = decide(self._state(command, slot), command, self.now)
        except Exception:  # one command's defect must not stop the partition
            log.exception("deciding %s failed", command.kind)
            return self._malformed(pending, f"{command.kind} could not be decided")
        if not isinstance(decision, Accepted):
            return self._refuse(pending, decision)
        if not decision.events:
            raise AssertionError(f"{command.kind} accepted without an event")
        try:
            bodies = chained(command, slot, decision.events, self.end)
        except BodyTooLarge as error:
            return self._malformed(pending, str(error))
        return self._accept(pending, slot, decision, bodies)

    def _refuse(self, pending: Pending, refusal: Refusal) -> bytes:
        self.refused.append(pending.key)
        return orjson.dumps(refused(refusal, pending.command.account_id, self.log.incarnation))

    def _malformed(self, pending: Pending, error: str) -> bytes:
        self.refused.append(pending.key)
        account_id, incarnation = pending.command.account_id, self.log.incarnation
        return orjson.dumps(unwritten("Malformed", account_id, incarnation, {"error": error}))

    def _refuse_reserve(self, command: Command) -> Declined | None:
        """What its account cannot tell: what is sold, and whether the id is another account's."""
        # From where pydantic keeps the fields: nothing is decided more often than this.
        if command.data.__dict__["catalogue"] not in self.overlay.in_force.hashes:
            return Declined("unknown_catalogue", parameter="catalogue")
        res = command.caller_id
        found = self.overlay.reservation(res) or self.overlay.closed.get(res)
        owner = found.account_id if found is not None else self.loaded.owners.get(res)
        if owner is not None and owner != command.account_id:
            return Declined("unknown_reservation", parameter="caller_id")
        return None

    def _publish(self, pending: Pending) -> bytes:
        """An event of the partition's own stream, and its text beside it."""
        command, overlay = cast("PublishCatalogue", pending.command), self.overlay
        outcome = decide_publish(overlay.terms, command, self.now)
        if isinstance(outcome, Declined):
            return self._refuse(pending, outcome)
        made = Accepted((outcome,), State())
        bodies = chained(command, overlay.stream, made.events, self.end)
        reply = self._accept(pending, overlay.stream, made, bodies)
        overlay.publish(outcome, command.account_id)
        self.columns.publish(command.data, overlay.terms, self.position)
        return reply

    def _state(self, command: Command, slot: Slot) -> State:
        res = named_reservation(command)
        if res is None:
            if command.kind in NEED_LOTS:
                return State(slot.account, lots=self._known_lots(command.account_id))
            if (start := start_key(command)) is not None:
                return State(slot.account, attempted=self._is_accepted(start))
            return State(slot.account)
        reservation = self.overlay.reservation(res)
        if reservation is not None and reservation.account_id == command.account_id:
            return State(slot.account, reservation)
        past = self._past(command.account_id, res)
        if command.kind in NEED_LOTS:
            return State(slot.account, None, past, self._known_lots(command.account_id))
        return State(slot.account, None, past)

    def _is_accepted(self, key: CommandKey) -> bool:
        return self.overlay.remembered(key) is not None or key in self.loaded.commands

    def _past(self, account_id: str, res: str) -> Past | None:
        past = self.overlay.closed.get(res)
        if past is not None and past.account_id == account_id:
            return past
        return self.loaded.pasts.get((account_id, res))

    def _known_lots(self, account_id: str) -> dict[int, Lot]:
        """What was read, what this batch made, and what was live before it."""
        lots = self._lots.lots(account_id, self.loaded.lots)
        slot = self.overlay.base.accounts.get(account_id)
        for grant in slot.account.grants if slot and slot.account else ():
            if grant.no not in lots:
                given = (grant.source, grant.priority, grant.expires_at, grant.payment)
                lots[grant.no] = Lot(grant.no, *given)
        return lots

    def _accept(
        self, pending: Pending, slot: Slot, decision: Accepted, bodies: list[tuple[bytes, bytes]]
    ) -> bytes:
        command, position, version, head = pending.command, self.position, slot.version, slot.head
        caller, kind, account = key_columns(pending.key)
        rows = self.columns.events
        for event, (raw, head) in zip(decision.events, bodies, strict=True):
            version += 1
            position += 1
            rows.append((position, account, version, TYPE_CODES[event.type], raw, head))
            effect = EFFECTS.get(event.type)
            if effect is not None:
                effect(self, event, decision.state, position)
        first, self.position = self.position + 1, position
        self.overlay.accounts[command.account_id] = Slot(
            decision.state.account, version, head, position
        )
        self.columns.commands.append(
            (caller, kind, account, first, len(bodies), pending.fingerprint)
        )
        note = note_of(command)
        if note is not None:
            self.columns.note(note, self.now.at)
        answer = accepted(
            command.kind, command.account_id, self.log.incarnation, decision.events, position
        )
        reply = orjson.dumps(answer)
        self.overlay.commands[pending.key] = remember(pending.fingerprint, reply)
        return reply

    def _opened(self, event: Event, state: State, position: int) -> None:
        if state.reservation is None:
            raise AssertionError("a hold was opened that the state does not know")
        self.overlay.open(state.reservation)
        self._first[state.reservation.res] = (state.reservation, position)
        self._fee(event, "fee", position)

    def _changed(self, _event: Event, state: State, _position: int) -> None:
        if state.reservation is not None:
            self.overlay.open(state.reservation)

    def _charged(self, event: Event, _state: State, position: int) -> None:
        self._close(event, position)
        self._fee(event, "fee", position)

    def _returned(self, event: Event, _state: State, position: int) -> None:
        self._close(event, position)
        self._fee(event, "fee_reversed", position)

    def _close(self, event: Event, position: int) -> None:
        res = event.data["res"]
        reservation = self.overlay.reservation(res)
        if reservation is None:  # a late settlement closes nothing
            past = self._past(event.account_id, res) or Past("unknown")
            past = past._replace(account_id=event.account_id)
            self.overlay.closed[res] = ended(past, event.type, event.data, position)
            return
        past = Past("open", None, reservation.amount, None, event.account_id, (), reservation.fee)
        self.overlay.close(res, ended(past, event.type, event.data, position))
        if self._first.pop(res, None) is None:
            self.columns.closed.append(bare(res))

    def _fee(self, event: Event, name: str, position: int) -> None:
        """Accrued with the hold (or a late settlement), reversed with what gives it back."""
        fee = event.data[name]
        if fee is not None:
            self.columns.fee(event, fee, position, reversed_=name == "fee_reversed")

    def _issued(self, event: Event, _state: State, position: int) -> None:
        self._keys[event.data["key_id"]] = (event.account_id, event, position)
        if event.data["rotates"]:
            self._touch_key(event.data["rotates"], event.account_id)

    def _revoked(self, event: Event, _state: State, _position: int) -> None:
        self._touch_key(event.data["key_id"], event.account_id)

    def _touch_key(self, key_id: str, account_id: str) -> None:
        self._keys.setdefault(key_id, (account_id, None, 0))

    def _changes_lots(self, event: Event, state: State, position: int) -> None:
        self._lots.follow(event, state, position)

    def _refunded(self, event: Event, state: State, position: int) -> None:
        self._lots.follow(event, state, position)
        past, res = state.past, event.data["res"]
        if past is None:
            raise AssertionError(f"a refund of {res}, which has no past")
        self.overlay.closed[res] = past._replace(account_id=event.account_id)
        self.columns.refund(res, event.account_id, past.refunded)
        self._fee(event, "fee_reversed", position)


EFFECTS: Mapping[str, Callable[[Batch, Event, State, int], None]] = {
    **dict.fromkeys(CHANGING, Batch._changes_lots),  # noqa: SLF001
    "CreditsRefunded": Batch._refunded,  # noqa: SLF001
    "CreditsReserved": Batch._opened,  # noqa: SLF001
    "ReservationExtended": Batch._changed,  # noqa: SLF001
    "CallAttached": Batch._changed,  # noqa: SLF001
    "CallDetached": Batch._changed,  # noqa: SLF001
    "CreditsCharged": Batch._charged,  # noqa: SLF001
    "CreditsReleased": Batch._returned,  # noqa: SLF001
    "ReservationExpired": Batch._returned,  # noqa: SLF001
    "KeyIssued": Batch._issued,  # noqa: SLF001
    "KeyRevoked": Batch._revoked,  # noqa: SLF001
}
"""What an event changes beside its account: reservations, keys, fees, lots."""
