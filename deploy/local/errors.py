class LocalServerError(Exception):
    """A server of this machine could not be started, or its folder cannot be used.

    The message says which server, which folder or port, and what to do about it.
    """
