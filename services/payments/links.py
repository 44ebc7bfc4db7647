"""The addresses that customers come back to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Links:
    """`base` is where customers reach this process's port, without a trailing slash."""

    base: str

    @property
    def success(self) -> str:
        """After paying; Stripe puts the session's id in."""
        return f"{self.base}/return?session_id={{CHECKOUT_SESSION_ID}}"

    @property
    def cancelled(self) -> str:
        return f"{self.base}/return?result=cancelled"

    @property
    def saved(self) -> str:
        """After saving a payment method."""
        return f"{self.base}/return?result=saved"

    @property
    def closed(self) -> str:
        """After visiting the customer portal."""
        return f"{self.base}/return?result=closed"
