"""The half of the tiny model about payments that go back: claims, what is due, reversals."""

from typing import Any

from tests.seeded.tiny_words import Refused, burn_order


class TinyClaims:
    def __init__(self) -> None:
        self.grants: list[dict[str, Any]] = []
        self.claims: dict[str, dict[str, int]] = {}
        """By payment: who claims it, and how much of it."""

    def held_of(self, no: int) -> int:
        raise NotImplementedError

    def add_grant(
        self, amount: int, issued: int, priority: int, ends: int | None, payment: str | None
    ) -> None:
        self.grants.append({
            "no": len(self.grants) + 1, "free": amount, "issued": issued, "priority": priority,
            "ends": ends, "payment": payment, "due": 0, "clawed": 0, "lost": 0,
        })  # fmt: skip

    def of_payment(self, payment: str) -> list[dict[str, Any]]:
        return [grant for grant in self.grants if grant["payment"] == payment]

    def claimed(self, payment: str) -> int:
        of = self.of_payment(payment)
        return sum(grant["clawed"] + grant["lost"] + grant["due"] for grant in of)

    def claim(self, payment: str, cause: str, returned: int, paid: int) -> None:
        """The returned part of what was granted, once for all claims: free, then held, then lost."""
        of = self.of_payment(payment)
        if not of:
            raise Refused
        target = sum(grant["issued"] for grant in of) * returned // paid
        claims = self.claims.setdefault(payment, {})
        claims[cause] = max(target, claims.get(cause, 0))
        need = max(0, max(claims.values()) - self.claimed(payment))
        for grant in sorted(of, key=burn_order):
            part = min(grant["free"], need)
            self.claw(grant, part)
            need -= part
        for grant in sorted(of, key=burn_order):
            part = min(self.held_of(grant["no"]) - grant["due"], need)
            grant["due"] += part
            need -= part
        of[0]["lost"] += need

    def claw(self, grant: dict[str, Any], part: int) -> None:
        grant["free"] -= part
        grant["clawed"] += part

    def collect(self) -> None:
        """What came back pays what its payment owes: its own debt first, then the others'."""
        for payment in self.claims:
            of = sorted(self.of_payment(payment), key=burn_order)
            for grant in of:
                self.pay(grant, grant)
            for grant in of:
                for owing in self.of_payment(payment):
                    self.pay(grant, owing)
            for grant in of:
                lost = max(0, grant["due"] - self.held_of(grant["no"]))
                grant["due"] -= lost
                grant["lost"] += lost

    def pay(self, grant: dict[str, Any], owing: dict[str, Any]) -> None:
        part = min(grant["free"], owing["due"])
        owing["due"] -= part
        self.claw(grant, part)

    def reverse(self, cause: str) -> None:
        """Only what this claim alone took: first what is due, then what was lost, then credits."""
        claimed = [payment for payment, claims in self.claims.items() if cause in claims]
        if not claimed:
            raise Refused
        for payment in claimed:
            claims = self.claims[payment]
            del claims[cause]
            surplus = max(0, self.claimed(payment) - max(claims.values(), default=0))
            for what in ("due", "lost", "clawed"):
                for grant in self.of_payment(payment):
                    part = min(grant[what], surplus)
                    grant[what] -= part
                    surplus -= part
                    grant["free"] += part if what == "clawed" else 0
