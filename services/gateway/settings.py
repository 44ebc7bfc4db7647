"""What the gateway and the admin process read from their environment beside the common settings."""

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from libs.runtime.settings import Settings

_SPARE_S = 30.0
"""For the settlement of a call, after its time is up."""


class GatewaySettings(Settings):
    """Settings of one gateway worker."""

    listen: str = ""
    """``host:port`` in place of farebox.toml's ``gateway.listen``; port 0 takes a free one."""
    reuse_port: bool = False
    """Share the port with the other workers (SO_REUSEPORT)."""
    request_max_s: PositiveFloat = 900
    """The longest a paid request may run upstream; a stream still running then is broken off."""
    attached_max_s: PositiveFloat = 120
    """The longest a call may run upstream that is attached to a reservation."""
    drain_max_s: PositiveFloat = 300
    """How long an upstream is read to its end after the client has gone."""
    hold_spare_s: PositiveFloat = 60
    """How much longer than a request and its drain its credits are held."""
    drains_max: NonNegativeInt = 100
    """How many upstreams may be read on at once for clients that have gone."""
    drains_account_max: NonNegativeInt = 20
    """How many of these may be of one account."""
    unheld_percent: int = Field(default=25, ge=0, le=100)
    """How much of what an account has available its streams without a cap may run ahead of their
    holds, all of one worker together; 0: none is sent a larger cap than is held."""
    breaker_failures: PositiveInt = 5
    """After how many failures in a row a route is left alone for a while."""
    breaker_pause_s: PositiveFloat = 10
    """How long a route that failed is left alone; each time it fails again, twice as long."""
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
    redis_url: str = Field(default="", repr=False, pattern="^$|^(redis|rediss|unix)://")
    """``redis://…`` or ``rediss://…`` that all gateways share their rate and concurrency limits by;
    empty: each process has the whole limits for itself."""
    redis_timeout_s: PositiveFloat = 0.25
    """How long Redis is waited for before a process goes on with limits of its own."""
    idempotency_keep_s: PositiveFloat = 24 * 3600
    """How long the answer to a request with an Idempotency-Key is kept for its repeats."""
    idempotency_bytes: NonNegativeInt = 64 * 1024 * 1024
    """Memory for such answers in one worker; above that the oldest are forgotten."""
    idempotency_answer_max: NonNegativeInt = 1024 * 1024
    """The largest body that is kept of such an answer, in bytes; 0: none with a body."""
    idempotency_on_redis: bool = True
    """Whether such answers are kept on the Redis of `redis_url` too, where all gateways find them;
    they are what customers were told, in clear."""
    billing_requests_per_minute: PositiveInt = 600
    """Requests to /billing/v1 that one account may make; they do not count for its plan's rate."""
    key_cache_max: NonNegativeInt = 100_000
    """How many keys are remembered; 0 asks the ledger every time."""

    @property
    def hold_ms(self) -> int:
        """How long credits are held: longer than the longest request and its drain (RSV-4)."""
        return self.hold_ms_for(self.request_max_s + self.drain_max_s)

    def hold_ms_for(self, longest_s: float) -> int:
        """How long credits are held for a call that may take so long."""
        return int((longest_s + self.hold_spare_s) * 1000)

    @property
    def attached_hold_ms(self) -> int:
        """How long an attached call keeps its reservation open, if nobody detaches it."""
        return int((self.attached_max_s + _SPARE_S) * 1000)


class AdminSettings(Settings):
    """Settings of the admin process."""

    listen: str = ""
    """``host:port`` in place of farebox.toml's ``gateway.admin_listen``."""
    admin_token: SecretStr = SecretStr("")
    """What an admin without a name presents to /admin/v1 as Bearer token."""
    admin_tokens: SecretStr = SecretStr("")
    """More operators: `name:role:token`, separated by commas or blanks. Roles: viewer, support,
    admin."""
