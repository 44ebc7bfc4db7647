"""The few words that the tiny model's two halves share."""

from typing import Any, Final

DAY: Final = 24 * 60
START: Final = 22 * 60
"""The story begins two hours before midnight, and the month ends there too."""


class Refused(Exception):
    pass


def day_of(now: int) -> int:
    return (START + now) // DAY


def month_of(day: int) -> int:
    return min(day, 1)


def burn_order(grant: dict[str, Any]) -> tuple[int, int, int]:
    return (grant["priority"], 10**9 if grant["ends"] is None else grant["ends"], grant["no"])
