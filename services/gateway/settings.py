"""What the gateway and the admin process read from their environment beside the common settings."""

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from libs.runtime.settings import Settings


class GatewaySettings(Settings):
    """Settings of one gateway worker."""

    listen: str = ""
    """``host:port`` in place of farebox.toml's ``gateway.listen``; port 0 takes a free one."""
    reuse_port: bool = False
    """Share the port with the other workers (SO_REUSEPORT)."""
    request_max_s: PositiveFloat = 900
    """The longest a paid request may run upstream; a stream still running then is broken off."""
    drain_max_s: PositiveFloat = 300
    """How long an upstream is read to its end after the client has gone."""
    hold_spare_s: PositiveFloat = 60
    """How much longer than a request and its drain its credits are held."""
    drains_max: NonNegativeInt = 100
    """How many upstreams may be read on at once for clients that have gone."""
    body_timeout_s: PositiveFloat = 60
    """How long a client may take to send its request body."""
    client_stall_s: PositiveFloat = 120
    """How long a client may leave a stream unread before it counts as gone."""
    answer_max: PositiveInt = 64 * 1024 * 1024
    """The largest whole answer of an upstream, in bytes."""
    shutdown_grace_s: PositiveFloat = 8
    """How long running requests are waited for when the process is asked to stop."""
    journal_min_free: NonNegativeInt = 16 * 1024 * 1024
    """Free bytes of the journal's disk below which the gateway takes no paid request."""
    key_cache_max: NonNegativeInt = 100_000
    """How many keys are remembered; 0 asks the ledger every time."""

    @property
    def hold_ms(self) -> int:
        """How long credits are held: longer than the longest request and its drain (RSV-4)."""
        return int((self.request_max_s + self.drain_max_s + self.hold_spare_s) * 1000)


class AdminSettings(Settings):
    """Settings of the admin process."""

    listen: str = ""
    """``host:port`` in place of farebox.toml's ``gateway.admin_listen``."""
    admin_token: SecretStr = SecretStr("")
    """What an admin without a name presents to /admin/v1 as Bearer token."""
    admin_tokens: SecretStr = SecretStr("")
    """More operators: `name:role:token`, separated by commas or blanks. Roles: viewer, support,
    admin."""
