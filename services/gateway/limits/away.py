"""That Redis is away; apart from its client, which is imported by none but who uses it."""


class RedisAwayError(Exception):
    """Redis did not answer in time, or with an error; what was sent may be done all the same."""
