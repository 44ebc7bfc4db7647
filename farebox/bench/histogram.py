"""Many durations in few numbers: buckets that are a twentieth wide, in logarithms."""

import math
from collections.abc import Iterable

PER_OCTAVE = 16
"""Buckets to each doubling, so a value is known to 4.4 %."""
OCTAVES = 36
"""From a microsecond to 19 hours."""
SHOWN_MS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
BAR = 40


class Histogram:
    """Counts durations; percentiles are the upper edge of the bucket they fall into."""

    def __init__(self) -> None:
        self.counts = [0] * (PER_OCTAVE * OCTAVES + 1)
        self.longest_s = 0.0

    def add(self, seconds: float) -> None:
        bucket = int(math.log2(max(seconds * 1e6, 1)) * PER_OCTAVE)
        self.counts[min(bucket, len(self.counts) - 1)] += 1
        self.longest_s = max(self.longest_s, seconds)

    def merge(self, other: "Histogram") -> None:
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.longest_s = max(self.longest_s, other.longest_s)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def percentile_ms(self, percent: float) -> float:
        """The time that so many of a hundred took at most; 0 when there are none."""
        wanted, seen = math.ceil(self.total * percent / 100), 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen >= wanted and seen:
                return min(_upper_ms(bucket), self.longest_s * 1000)
        return 0.0

    def by_ms(self) -> dict[str, int]:
        """How many took at most so many milliseconds, and more than the entry before."""
        found = dict.fromkeys(map(_text, SHOWN_MS), 0) | {"more": 0}
        for bucket, count in enumerate(self.counts):
            if count:
                edge = next((ms for ms in SHOWN_MS if _upper_ms(bucket) <= ms * 1.05), None)
                found[_text(edge) if edge else "more"] += count
        return found

    def lines(self) -> list[str]:
        """Bars for a person to look at, without the empty ends."""
        counts = list(self.by_ms().items())
        taken = [at for at, (_, count) in enumerate(counts) if count]
        if not taken:
            return []
        most = max(count for _, count in counts)
        return [
            f"  ≤ {name:>5} ms  {'█' * round(count * BAR / most):<{BAR}} {count / self.total:7.2%}"
            if name != "more"
            else f"  more        {'█' * round(count * BAR / most):<{BAR}} {count / self.total:7.2%}"
            for name, count in counts[taken[0] : taken[-1] + 1]
        ]


def histogram_of(times_s: Iterable[float]) -> Histogram:
    made = Histogram()
    for seconds in times_s:
        made.add(seconds)
    return made


def _upper_ms(bucket: int) -> float:
    """The largest time of a bucket, in milliseconds."""
    return float(2 ** ((bucket + 1) / PER_OCTAVE) / 1000)


def _text(ms: float) -> str:
    return f"{ms:g}"
