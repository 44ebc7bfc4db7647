from pydantic import field_validator

from libs.runtime.settings import Settings


class LedgerSettings(Settings):
    """What the ledger process reads from the environment. Durations in seconds."""

    expiry_grace_s: float = 60.0
    """How long after its deadline an unsettled reservation is closed."""
    takeover_quiet_s: float = 120.0
    """No reservation expires for so long after a take-over: callers may still be retrying."""
    expiry_tick_s: float = 1.0
    """How often it is looked what has expired."""
    standby_poll_s: float = 0.25
    """How often a standby tries to take the partition's lock."""
    standby_ping_s: float = 1.5
    """How long a leader may be silent before a standby ends its session."""
    step_down_s: float = 1.0
    """How long a process that could not write waits before it would lead again."""
    ledger_leads: str = ""
    """Partitions this process prefers to lead, as in "0,2": it takes them over from a process
    that does not prefer them, and leads others only where nobody does. Empty: whatever is free."""
    relay_poll_s: float = 1.0
    """How often the log is looked at when no append wakes the relay."""
    relay_pace_s: float = 0.02
    """How long an event waits for others before it goes to the stream: a batch costs the server a
    millisecond, and its disk a sync, whatever is in it."""
    batch_ceiling: int = 256
    """Commands decided and appended in one transaction, at most."""
    accounts_in_memory: int = 50_000
    """Accounts of a partition that are kept in memory; others are read when they are named."""
    commands_in_memory: int = 100_000
    """Answered commands of a partition that are kept in memory; others are looked up."""
    busy_above: int = 2_000
    """Queued commands above which Reserve and Extend are answered Busy."""
    busy_all_above: int = 20_000
    """Queued commands above which every command is answered Busy."""

    @field_validator("ledger_leads")
    @classmethod
    def _numbers_with_commas(cls, text: str) -> str:
        if text and not all(word.strip().isdecimal() for word in text.split(",")):
            raise ValueError(f"partitions are numbers with commas between them, not {text!r}")
        return text

    @property
    def preferred(self) -> frozenset[int]:
        """The partitions that this process prefers to lead."""
        return frozenset(int(word) for word in self.ledger_leads.split(",") if word)


class ReaderSettings(Settings):
    """What the reader process reads from the environment. Durations in seconds."""

    poll_s: float = 0.25
    """How often a partition's log is looked at when no hint comes."""
    read_your_writes_s: float = 0.2
    """How long an answer waits for a projection that is late, before it says how far it is."""
    batch: int = 500
    """Events applied to the projections in one transaction, at most."""
    connections: int = 4
    """Connections that answer questions; each partition's projections have one of their own."""
    questions_at_once: int = 64
    """Questions that are worked on at once; others wait."""


class AuditorSettings(Settings):
    """What the self-audit reads from the environment. Durations in seconds."""

    verify_s: float = 900.0
    """The pause between two verifications of the whole ledger."""
    verify_projections: bool = True
    """Also the statement, the receipts, fees and commands: most of the time it takes."""
    check_s: float = 30.0
    """The pause between two rounds of quick checks."""
    overdue_after_s: float = 300.0
    """How long after its deadline an open reservation is overdue: more than the expiry's grace and
    its quiet after a take-over together."""
