"""`farebox bench`: bounded load on a running installation, and what it took to send it."""
