"""What a bench found, for a person and for a program."""

import json
from typing import Any

from farebox.bench.ledger import Report
from libs.events.money import decimal_text

PERCENTS = (50, 90, 99, 99.9)


def told(report: Report) -> dict[str, Any]:
    """Everything in the report; amounts are digit strings of nanos."""
    outcome, left = report.outcome, report.left
    return {
        "commands_per_s": round(outcome.commands / outcome.seconds),
        "reservations_per_s": round(outcome.reserved / outcome.seconds),
        "seconds": round(outcome.seconds, 3),
        "commands": outcome.commands,
        "reserved": outcome.reserved,
        "busy": outcome.busy,
        "callers": report.plan.callers,
        "partitions": report.partitions,
        "latency_ms": {
            **{f"p{percent:g}": round(outcome.times.percentile_ms(percent), 3)
               for percent in PERCENTS},
            "longest": round(outcome.times.longest_s * 1000, 3),
        },
        "histogram_ms": outcome.times.by_ms(),
        "left_behind": {
            **left._asdict(), "granted": str(left.granted), "charged": str(left.charged),
        },
    }  # fmt: skip


def report_json(report: Report) -> str:
    return json.dumps(told(report), indent=2)


def report_text(report: Report) -> str:
    numbers, left = told(report), report.left
    latencies = ", ".join(f"{name} {ms:g} ms" for name, ms in numbers["latency_ms"].items())
    granted, charged = (decimal_text(n, "USD") for n in (left.granted, left.charged))
    rates = (numbers["commands_per_s"], numbers["reservations_per_s"])
    where = f"{report.plan.accounts} accounts in {report.partitions} partitions"
    lines = ["", "{:,} commands a second, {:,} of them reservations".format(*rates)]
    lines.append(f"by {report.plan.callers} callers on {where}")
    lines.append(f"latency of {report.outcome.commands:,} commands: {latencies}")
    lines += report.outcome.times.lines()
    if report.outcome.busy:
        lines.append(f"answered Busy and sent again: {report.outcome.busy:,}")
    lines.append(
        f"left in the log for good: {left.events:,} events of {left.accounts} closed accounts, "
        f"bench-{left.run}-1 and on"
    )
    lines.append(
        f"USD {granted} was granted for reason `bench`, {charged} of it charged, the rest taken "
        "back when the accounts were closed"
    )
    return "\n".join(lines)
