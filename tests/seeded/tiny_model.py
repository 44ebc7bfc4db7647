"""The money rules once more, as small as they can be written: dicts, lists and sums.

Written from the documentation and shares no code with the ledger. Times are minutes since a
start, amounts plain integers. Each method says what the command does, or Refused.
"""

import copy
from typing import Any

from tests.seeded.tiny_claims import TinyClaims
from tests.seeded.tiny_words import Refused, burn_order, day_of, month_of

CHILD_LIFE = 30 * 24 * 60
"""Minutes that what comes back to an expired grant can be spent."""
WHEN_CLOSED = frozenset(
    {"freeze", "unfreeze", "revoke_key", "settle", "release", "detach", "expire", "claim"}
)
"""What may still be told to a closed account."""


class TinyModel(TinyClaims):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.holds: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.limits: dict[str, int | None] = {"day": None, "month": None}
        self.frozen: set[str] = set()
        self.closed = False
        self.fees = 0

    @property
    def available(self) -> int:
        return sum(grant["free"] for grant in self.grants)

    @property
    def reserved(self) -> int:
        return sum(sum(n for _, n in hold["parts"]) for hold in self.holds.values())

    @property
    def day(self) -> int:
        return day_of(self.now)

    def held_of(self, no: int) -> int:
        parts = [part for hold in self.holds.values() for part in hold["parts"]]
        return sum(n for of, n in parts if of == no)

    def try_to(self, name: str, *arguments: Any, **named: Any) -> "TinyModel | None":
        """The world after a command, None when it is refused: then nothing at all happened."""
        after = copy.deepcopy(self)
        after.expire_grants()
        try:
            if after.closed and name not in WHEN_CLOSED:
                raise Refused
            getattr(after, name)(*arguments, **named)
        except Refused:
            return None
        after.collect()
        after.expire_grants()
        return after

    def has_expired(self, grant: dict[str, Any]) -> bool:
        return grant["ends"] is not None and grant["ends"] <= self.now

    def expire_grants(self) -> None:
        for grant in self.grants:
            if self.has_expired(grant):
                grant["free"] = 0

    def take(self, amount: int) -> list[tuple[int, int]]:
        parts = []
        for grant in sorted(self.grants, key=burn_order):
            part = min(grant["free"], amount)
            if part:
                grant["free"] -= part
                amount -= part
                parts.append((grant["no"], part))
        return parts

    def room(self, key: dict[str, Any]) -> int:
        """What caps and limits leave of a hold by this key."""
        mine = [h for h in self.holds.values() if h["lineage"] == key["lineage"]]
        ours = [h for h in self.holds.values() if h["limited"]]
        caps = [
            (key["cap"], mine),
            (key["cap_day"], [h for h in mine if h["day"] == self.day]),
            (self.limits["day"], [h for h in ours if h["day"] == self.day]),
            (self.limits["month"], [h for h in ours if month_of(h["day"]) == month_of(self.day)]),
        ]
        return min(10**9 if cap is None else cap - sum(h["spent"] for h in of) for cap, of in caps)

    def grant(self, amount: int, priority: int, lifetime: int | None, payment: str | None) -> None:
        ends = None if lifetime is None else self.now + lifetime
        self.add_grant(amount, amount, priority, ends, payment)

    def issue_key(self, name: str, cap: int | None, cap_day: int | None, old: str | None) -> None:
        if self.frozen:
            raise Refused
        lineage = name
        if old is not None:
            if not self.is_live(self.keys[old]):
                raise Refused
            lineage = self.keys[old]["lineage"]
            ends = self.keys[old]["ends"]
            self.keys[old]["ends"] = self.now + 10 if ends is None else min(ends, self.now + 10)
        key = {"lineage": lineage, "cap": cap, "cap_day": cap_day, "revoked": False, "ends": None}
        self.keys[name] = key

    def is_live(self, key: dict[str, Any]) -> bool:
        return not key["revoked"] and (key["ends"] is None or key["ends"] > self.now)

    def revoke_key(self, name: str) -> None:
        self.keys[name]["revoked"] = True

    def freeze(self, reason: str) -> None:
        self.frozen.add(reason)

    def unfreeze(self, reason: str) -> None:
        if reason not in self.frozen:
            raise Refused
        self.frozen.remove(reason)

    def limit(self, day: int | None, month: int | None) -> None:
        self.limits = {"day": day, "month": month}

    def close(self, *, write_off: bool) -> None:
        if self.reserved or (self.available and not write_off):
            raise Refused
        self.take(self.available)
        self.closed = True
        for key in self.keys.values():
            key["revoked"] = True

    def correct(self, amount: int) -> None:
        if self.available < amount:
            raise Refused
        self.take(amount)

    def reserve(
        self, res: str, name: str, amount: int, at_least: int, ends: int, at: str, ceiling: int | None,
        *, fee: bool,
    ) -> None:  # fmt: skip
        key = self.keys[name]
        room = self.room(key)
        if self.frozen or not self.is_live(key) or min(self.available, room) < at_least:
            raise Refused
        held = min(amount, self.available, room)
        capped = key["cap"] is not None or key["cap_day"] is not None
        self.holds[res] = {
            "parts": self.take(held), "held": held, "state": "open", "ends": self.now + ends,
            "used": 0, "at": at, "key": name, "day": self.day, "spent": held, "paid": 0,
            "lineage": key["lineage"] if capped else None, "kept": [], "refunded": 0,
            "limited": self.limits != {"day": None, "month": None}, "fee": fee, "accrued": fee,
            "ceiling": ceiling, "calls": {},
        }  # fmt: skip
        self.fees += fee

    def extend(self, res: str, total: int, ends: int, used: int) -> None:
        hold = self.holds[res]
        added = max(0, total - hold["held"])
        key = self.keys[hold["key"]]
        if hold["state"] != "open" or self.frozen or hold["ends"] <= self.now:
            raise Refused
        if not self.is_live(key) or (added and min(self.available, self.room(key)) < added):
            raise Refused
        hold["parts"] += self.take(added)
        hold["held"] += added
        hold["spent"] += added
        hold["ends"] = max(hold["ends"], self.now + ends)
        hold["used"] = max(hold["used"], used)

    def attach(self, res: str, call: str, bound: int, minutes: int) -> None:
        hold = self.holds[res]
        if hold["state"] != "open" or self.frozen or hold["ends"] < self.now + minutes:
            raise Refused
        cost = sum(call["cost"] for call in hold["calls"].values())
        if not self.is_live(self.keys[hold["key"]]) or cost + bound > (hold["ceiling"] or -1):
            raise Refused
        hold["calls"][call] = {"cost": bound, "ends": self.now + minutes}

    def detach(self, res: str, call: str, cost: int) -> None:
        hold = self.holds[res]
        if hold["state"] != "open" or call not in hold["calls"]:
            raise Refused
        hold["calls"][call] = {"cost": cost, "ends": self.now}

    def wait_for_calls(self, hold: dict[str, Any]) -> None:
        if hold["state"] == "open" and any(c["ends"] > self.now for c in hold["calls"].values()):
            raise Refused

    def end(self, hold: dict[str, Any], state: str, charge: int) -> None:
        """Of what is held `charge` is kept, from the front; the rest goes where it came from."""
        left = charge
        for no, part in hold["parts"]:
            kept = min(part, left)
            left -= kept
            hold["kept"] += [(no, kept)] if kept else []
            self.grants[no - 1]["free"] += part - kept
        hold.update(parts=[], state=state, spent=charge, paid=charge)

    def accrue(self, hold: dict[str, Any], *, accrued: bool) -> None:
        """The fee of an invocation stands as long as the invocation is not given back."""
        if hold["fee"]:
            self.fees += accrued - hold["accrued"]
            hold["accrued"] = accrued

    def settle(self, res: str, charge: int) -> None:
        hold = self.holds[res]
        if hold["state"] == "expired":
            late = max(0, min(charge, hold["held"], hold["paid"] + self.available) - hold["paid"])
            hold["kept"] += self.take(late)
            hold.update(state="settled", paid=hold["paid"] + late)
            self.accrue(hold, accrued=True)
            return
        if hold["state"] != "open":
            raise Refused
        self.wait_for_calls(hold)
        extra = min(max(0, charge - hold["held"]), self.available)
        above = self.take(extra)
        self.end(hold, "settled", min(charge, hold["held"]))
        hold["kept"] += above
        hold["spent"] += extra
        hold["paid"] += extra

    def release(self, res: str) -> None:
        if self.holds[res]["state"] != "open":
            raise Refused
        self.wait_for_calls(self.holds[res])
        self.end(self.holds[res], "released", 0)
        self.accrue(self.holds[res], accrued=False)

    def expire(self, res: str) -> None:
        hold = self.holds[res]
        if hold["state"] != "open" or hold["ends"] > self.now:
            raise Refused
        charge = min(hold["used"], hold["held"]) if hold["at"] == "charge" else 0
        self.end(hold, "expired", charge)
        self.accrue(hold, accrued=bool(charge))

    def refund(self, res: str, amount: int, *, whole: bool) -> None:
        """What was consumed last comes back first; what an expired grant gets moves to a child."""
        hold = self.holds[res]
        left = hold["paid"] - hold["refunded"]
        if amount > left or (whole and amount != left):
            raise Refused
        hold["refunded"] += amount
        back: dict[int, int] = {}
        skipped = hold["refunded"] - amount
        for no, part in reversed(hold["kept"]):
            before = min(part, skipped)
            skipped -= before
            now = min(part - before, amount)
            amount -= now
            if now:
                back[no] = back.get(no, 0) + now
        for no, part in back.items():
            self.give_back(self.grants[no - 1], part)
        if whole:
            self.accrue(hold, accrued=False)

    def give_back(self, grant: dict[str, Any], part: int) -> None:
        own = part
        if self.has_expired(grant):
            own = min(part, grant["due"])  # it is taken at once
        grant["free"] += own
        if part > own:
            ends = self.now + CHILD_LIFE
            self.add_grant(part - own, 0, grant["priority"], ends, grant["payment"])
