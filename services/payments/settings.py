"""What the payments process reads from its environment beside the common settings."""

from pydantic import PositiveFloat, SecretStr

from libs.runtime.settings import Settings


class PaymentsSettings(Settings):
    """Settings of the payments process. Durations in seconds."""

    listen: str = ""
    """``host:port`` in place of farebox.toml's ``payments.listen``; port 0 takes a free one."""
    stripe_api_key: SecretStr = SecretStr("")
    """Stripe's secret key, of test or live mode."""
    stripe_webhook_secret: SecretStr = SecretStr("")
    """The endpoint's signing secret; while it is rotated, the new and the old one with a comma."""
    stripe_api_base: str | None = None
    """Where Stripe's API is, without a trailing slash; nothing means Stripe itself."""
    stripe_timeout_s: PositiveFloat = 30.0
    """How long one call of Stripe may take."""
    inbox_tick_s: PositiveFloat = 1.0
    """How often the inbox is looked at when nothing wakes it."""
    collect_tick_s: PositiveFloat = 0.5
    """How often open recharge attempts are looked at when nothing wakes them."""
    retry_first_s: PositiveFloat = 0.5
    """Wait after the first failed try; it doubles with each further one."""
    retry_cap_s: PositiveFloat = 60.0
    """The longest wait between two tries."""
    lease_s: PositiveFloat = 15.0
    """How long others leave a claimed row alone, and what a crash costs a customer. Two at work
    on one row waste a call; nothing is credited or charged twice."""
    reconcile_s: PositiveFloat = 600.0
    """How often Stripe's events are listed for deliveries that were lost."""
    ledger_give_up_s: PositiveFloat = 5.0
    """How long one try waits for the ledger before the row is put back."""
    performed_within_s: PositiveFloat = 3600.0
    """A recharge first seen later than this after it was started is reported, not charged."""
    key_trusted_s: PositiveFloat = 23 * 3600.0
    """How long Stripe is trusted to still know an idempotency key; it forgets after 24 hours."""

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets that a delivery may be signed with."""
        texts = self.stripe_webhook_secret.get_secret_value().split(",")
        return tuple(text.strip() for text in texts if text.strip())

    @property
    def livemode(self) -> bool:
        """Whether the key moves real money."""
        return "_live_" in self.stripe_api_key.get_secret_value()[:12]
