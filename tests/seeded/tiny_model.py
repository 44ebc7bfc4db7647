"""The money rules once more, as small as they can be written: dicts, lists and sums.

Written from the documentation and shares no code with the ledger. Times are minutes since a
start, amounts plain integers. Each method says what the command does, or None when it is refused.
"""

import copy
from typing import Any

DAY = 24 * 60
START = 22 * 60
"""The story begins two hours before midnight, and the month ends there too."""


class Refused(Exception):
    pass


class TinyModel:
    def __init__(self) -> None:
        self.now = 0
        self.grants: list[dict[str, Any]] = []
        self.holds: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.day_limit: int | None = None
        self.frozen: set[str] = set()

    @property
    def available(self) -> int:
        return sum(grant["free"] for grant in self.grants)

    @property
    def reserved(self) -> int:
        return sum(sum(n for _, n in hold["parts"]) for hold in self.holds.values())

    @property
    def day(self) -> int:
        return (START + self.now) // DAY

    def try_to(self, name: str, *arguments: Any) -> "TinyModel | None":
        """The world after a command, None when it is refused: then nothing at all happened."""
        after = copy.deepcopy(self)
        after.expire_grants()
        try:
            getattr(after, name)(*arguments)
        except Refused:
            return None
        after.expire_grants()
        return after

    def expire_grants(self) -> None:
        for grant in self.grants:
            if grant["ends"] is not None and grant["ends"] <= self.now:
                grant["free"] = 0

    def take(self, amount: int) -> list[tuple[int, int]]:
        parts = []
        order = sorted(
            self.grants,
            key=lambda g: (g["priority"], 10**9 if g["ends"] is None else g["ends"], g["no"]),
        )
        for grant in order:
            part = min(grant["free"], amount)
            if part:
                grant["free"] -= part
                amount -= part
                parts.append((grant["no"], part))
        return parts

    def room(self, key: dict[str, Any]) -> int:
        """What caps and limits leave of a hold by this key."""
        rooms = [10**9]
        if key["cap"] is not None:
            of_lineage = [h for h in self.holds.values() if h["lineage"] == key["lineage"]]
            rooms.append(key["cap"] - sum(hold["spent"] for hold in of_lineage))
        if self.day_limit is not None:
            today = [h for h in self.holds.values() if h["limited"] and h["day"] == self.day]
            rooms.append(self.day_limit - sum(hold["spent"] for hold in today))
        return min(rooms)

    def grant(self, amount: int, priority: int, lifetime: int | None) -> None:
        ends = None if lifetime is None else self.now + lifetime
        no = len(self.grants) + 1
        self.grants.append({"no": no, "free": amount, "priority": priority, "ends": ends})

    def issue_key(self, name: str, cap: int | None, old: str | None) -> None:
        if self.frozen:
            raise Refused
        lineage = name
        if old is not None:
            if not self.is_live(self.keys[old]):
                raise Refused
            lineage = self.keys[old]["lineage"]
            ends = self.keys[old]["ends"]
            self.keys[old]["ends"] = self.now + 10 if ends is None else min(ends, self.now + 10)
        self.keys[name] = {"lineage": lineage, "cap": cap, "revoked": False, "ends": None}

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

    def limit(self, day: int | None) -> None:
        self.day_limit = day

    def reserve(self, res: str, name: str, amount: int, at_least: int, ends: int, at: str) -> None:
        key = self.keys[name]
        room = self.room(key)
        if self.frozen or not self.is_live(key) or min(self.available, room) < at_least:
            raise Refused
        held = min(amount, self.available, room)
        self.holds[res] = {
            "parts": self.take(held), "held": held, "state": "open", "ends": self.now + ends,
            "used": 0, "at": at, "key": name, "day": self.day, "spent": held, "paid": 0,
            "lineage": key["lineage"] if key["cap"] is not None else None,
            "limited": self.day_limit is not None,
        }  # fmt: skip

    def extend(self, res: str, total: int, ends: int, used: int) -> None:
        hold = self.holds[res]
        added = max(0, total - hold["held"])
        if hold["state"] != "open" or self.frozen or hold["ends"] <= self.now:
            raise Refused
        if added and min(self.available, self.room(self.keys[hold["key"]])) < added:
            raise Refused
        hold["parts"] += self.take(added)
        hold["held"] += added
        hold["spent"] += added
        hold["ends"] = max(hold["ends"], self.now + ends)
        hold["used"] = used

    def close(self, hold: dict[str, Any], state: str, charge: int) -> None:
        """Of what is held `charge` is kept, from the front; the rest goes where it came from."""
        kept = charge
        for no, part in hold["parts"]:
            back = part - min(part, kept)
            kept -= part - back
            self.grants[no - 1]["free"] += back
        hold.update(parts=[], state=state, spent=charge, paid=charge)

    def settle(self, res: str, charge: int) -> None:
        hold = self.holds[res]
        if hold["state"] == "expired":
            late = min(charge - hold["paid"], hold["held"] - hold["paid"], self.available)
            self.take(max(0, late))
            hold.update(state="settled", paid=hold["paid"] + max(0, late))
            return
        if hold["state"] != "open":
            raise Refused
        extra = min(max(0, charge - hold["held"]), self.available)
        self.take(extra)
        self.close(hold, "settled", min(charge, hold["held"]))
        hold["spent"] += extra
        hold["paid"] += extra

    def release(self, res: str) -> None:
        if self.holds[res]["state"] != "open":
            raise Refused
        self.close(self.holds[res], "released", 0)

    def expire(self, res: str) -> None:
        hold = self.holds[res]
        if hold["state"] != "open" or hold["ends"] > self.now:
            raise Refused
        charge = min(hold["used"], hold["held"]) if hold["at"] == "charge" else 0
        self.close(hold, "expired", charge)
