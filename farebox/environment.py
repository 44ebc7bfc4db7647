"""What a process that `farebox up` starts finds in its environment."""

from collections.abc import Iterable, Mapping

from libs.runtime.redaction import SECRET_NAME

# The secrets of the outside world, each for one kind of process. What NATS and Postgres know a
# process by is added by the stack.
_OWN_SECRETS = {
    "gateway": ("FAREBOX_UPSTREAM_", "FAREBOX_REDIS_URL"),
    "payments": ("FAREBOX_STRIPE_",),
    "admin": ("FAREBOX_ADMIN_TOKEN", "FAREBOX_ADMIN_TOKENS"),
}
# Meant for one process at a time, or for tests only: never handed on.
_NOT_SHARED = frozenset(
    {
        "FAREBOX_CONFIG",
        "FAREBOX_DATABASE_URL",
        "FAREBOX_DATA_DIR",
        "FAREBOX_FAULTS",
        "FAREBOX_FAULT_POINT",
        "FAREBOX_HEALTH_PORT",
        "FAREBOX_LISTEN",
        "FAREBOX_NATS_URL",
        "FAREBOX_PROCESS_NAME",
        "FAREBOX_REUSE_PORT",
    }
)


def inherited(
    kind: str, environment: Mapping[str, str], also: Iterable[str] = ()
) -> dict[str, str]:
    """Return what a process of that kind takes over from the caller's environment.

    Ordinary variables pass; one that is named like a secret passes only to the kind of process
    that needs it, or when `also` names it (an upstream's `key_env`).
    """
    own, named = _OWN_SECRETS.get(kind, ()), frozenset(also)
    return {
        name: value
        for name, value in environment.items()
        if name not in _NOT_SHARED
        and (name in named or name.startswith(own) or not SECRET_NAME.search(name.upper()))
    }
