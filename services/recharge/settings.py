"""What the recharge process reads from its environment beside the common settings."""

from datetime import timedelta

from pydantic import Field, PositiveFloat

from libs.runtime.settings import Settings


class RechargeSettings(Settings):
    """Settings of the recharge process. Durations in seconds."""

    dip_wait_s: PositiveFloat = 30.0
    """How long a balance may be low only because of reservations before it is recharged."""
    look_every_s: PositiveFloat = 30.0
    """How often an account that fell is looked at again until it is armed."""
    retry_s: PositiveFloat = 5.0
    """Wait before another look when the ledger or payments did not answer."""
    idle_s: PositiveFloat = 1.0
    """Longest wait between two looks at the table of what is due."""
    start_within_s: PositiveFloat = 5.0
    """Deadline of StartRecharge, in ledger time from when it is sent."""
    ledger_give_up_s: PositiveFloat = 4.0
    """How long one try waits for the ledger."""
    payments_timeout_s: PositiveFloat = 2.0
    """How long to wait for payments to say in which currency an account last paid."""
    performed_within_s: PositiveFloat = 3600.0
    """A fall first seen later than this after it happened is reported, not acted on."""
    connections: int = Field(default=6, ge=1)
    """Database connections of the looks; each partition's events have one of their own."""

    @property
    def dip_wait(self) -> timedelta:
        return timedelta(seconds=self.dip_wait_s)
