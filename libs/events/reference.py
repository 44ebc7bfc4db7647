"""The page that lists every message, written from the models themselves."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel

from libs.events import subjects
from libs.events.commands import COMMANDS, KIND_CODES, Command, needs_deadline
from libs.events.declines import ACTIONS, DECLINES
from libs.events.events import EVENTS, TYPE_CODES, Event, data_of
from libs.events.fields import MAX_MESSAGE
from libs.events.fingerprints import fact_names
from libs.events.postings import postings_rule
from libs.events.replies import REPLIES, REPLY_TO
from libs.events.reply_data import ReplyData
from libs.events.schema_words import in_words

_OPENING: Final = f"""# Messages

Generated from `libs/events` by `make schemas`; a test fails when this page and the models differ.
The JSON schemas are in `libs/events/schemas/`.

Amounts are digit strings of integer nanos (10^-9 of the account's unit). Times are RFC 3339, UTC,
six decimals, `Z`. Every field is always present, null where empty. A message has at most
{MAX_MESSAGE:,} bytes. An allocation is a list of `[grant_no, amount]` in the order it was taken.
"""
_COMMANDS: Final = """
## Commands

Envelope: `kind`, `kind_version`, `caller_id`, `account_id`, `deadline`, `correlation_id`,
`causation`, `traceparent`, `data`; sent to `ledger.commands.<partition>.<class>`. A command is
known by (caller_id, kind, account_id): sent again it gets its first reply, and a Conflict when a
field marked *fact* differs. Bytes that are no command get the reply Malformed.
"""
_EVENTS: Final = """
## Events

Body: `account_id`, `causation`, `command_id`, `correlation_id`, `data`, `incarnation`,
`occurred_at`, `partition`, `position`, `prev`, `traceparent`, `type`, `type_version`, `version`,
as canonical JSON (sorted keys, no blanks, no floats). `prev` is the hex SHA-256 of the account's
previous body, 64 zeros for its first; the hash of an event is the SHA-256 of its body. Postings
sum to zero; lines of nothing are left out.
"""
_REPLIES: Final = """
## Replies

Envelope: `reply`, `account_id`, `incarnation`, `position`, `event_count`, `data`, with the NATS
header `Farebox-Ledger-Now`. Busy and Retry are never final: the same bytes are sent again.
"""
_DECLINES: Final = """
## Decline codes

A decline wrote nothing. The reply's data hold the numbers to act on: `required`, `available`,
`reserved`, `total`, `limit_source`, `until`, `parameter`, null where they do not apply.

| code | meaning | what to do |
|---|---|---|
"""
_REASONS: Final = """
## Reasons

`reason_code` is a word of `[a-z0-9_.:-]`, at most 64 characters; what a person writes goes to the
erasable notes. Reasons with a closed list:

| field | values |
|---|---|
| freeze reason | `manual`, `dispute:<id>`, `warning:<id>` |
| clawback cause | `refund:<id>`, `dispute:<id>`, `adjustment`, `write_off` |
| CreditsExpired cause | `shelf`, `returned` |
| RechargeFailed class | `soft`, `hard`, `authentication`, `abandoned` |
| RechargeResumed reason | `card_changed`, `paid`, `operator` |
| Conflict code | `fingerprint`, `settled`, `released` |
"""


def reference_page() -> str:
    """The whole page, as Markdown."""
    parts = [_OPENING, _COMMANDS]
    parts += [_command(cls) for cls in COMMANDS.values()]
    parts.append(_EVENTS)
    parts += [_event(cls) for cls in EVENTS.values()]
    parts.append(_REPLIES)
    parts += [_reply(name, data) for name, data in REPLIES.items()]
    rows = (f"| `{code}` | {why} | {ACTIONS[code]} |\n" for code, why in DECLINES.items())
    parts.append(_DECLINES + "".join(rows))
    parts += [_REASONS, _subjects()]
    return "".join(parts)


def _command(cls: type[Command]) -> str:
    kind = cls.__name__
    data = cls.model_fields["data"].annotation
    senders = ", ".join(f"`{name}`" for name in sorted(cls.senders)) or "none, internal"
    facts = [f"code {KIND_CODES[kind]}", f"class {senders}"]
    if cls.caller_form:
        facts.append(f"caller id `{cls.caller_form}`")
    facts.append("has a deadline" if needs_deadline(kind) else "no deadline")
    if kind in REPLY_TO:
        facts.append(f"reply {REPLY_TO[kind]}")
    return _section(kind, cls.__doc__, "; ".join(facts) + ".", data, fact_names(kind))


def _event(cls: type[Event]) -> str:
    name = cls.__name__
    rule = postings_rule(name)
    facts = f"code {TYPE_CODES[name]}; " + (f"postings: {rule}." if rule else "no postings.")
    return _section(name, data_of(cls).__doc__, facts, data_of(cls), ())


def _reply(name: str, data: type[ReplyData]) -> str:
    kinds = [kind for kind, reply in REPLY_TO.items() if reply == name]
    facts = f"to {', '.join(kinds)}." if kinds else "to any command."
    return _section(name, data.__doc__, facts, data, ())


def _section(title: str, words: str | None, line: str, data: Any, marked: Iterable[str]) -> str:
    lines = [f"\n### {title}\n"]
    if words:
        lines.append(" ".join(words.split()) + "\n")
    lines.append(line[0].upper() + line[1:] + "\n")
    rows = list(_rows(data, set(marked)))
    if rows:
        lines.append("| field | type |\n|---|---|\n" + "".join(rows))
    return "\n".join(lines)


def _rows(model: type[BaseModel], marked: set[str]) -> Iterator[str]:
    schema = model.model_json_schema(mode="serialization")
    definitions = schema.get("$defs", {})
    for name, field in schema.get("properties", {}).items():
        mark = " *fact*" if name in marked else ""
        absent = "" if name in schema["required"] else ", left out when no credits moved"
        yield f"| `{name}`{mark} | {in_words(field, definitions)}{absent} |\n"


def _subjects() -> str:
    rows = [
        ("`ledger.commands.<p>.{use, money, recharge, admin}`", "commands, answered by the leader"),
        ("`ledger.queries.<p>.<name>`", "queries: " + ", ".join(subjects.QUERY_NAMES)),
        (f"`{subjects.committed(0)}` …", "hint that new events are in the log"),
        (f"`{subjects.event(0, '<type>')}` …", f"events, kept in stream {subjects.stream(0)} …"),
        ("`payments.requests.<name>`", ", ".join(subjects.PAYMENTS_REQUESTS)),
        (f"`{subjects.RECHARGE_SWEEP}`", f"the sweep's schedule, in {subjects.RECHARGE_STREAM}"),
        ("`quarantine.<service>.<p>`", f"what could not be read, in {subjects.QUARANTINE_STREAM}"),
    ]
    table = "".join(f"| {subject} | {words} |\n" for subject, words in rows)
    who = "Who may publish and subscribe, and the streams: [subjects.md](subjects.md).\n"
    return f"\n## Subjects\n\n{who}\n| subject | what |\n|---|---|\n{table}"
