"""A stand-in for Stripe's HTTP API, for tests and the demo: what we rely on, nothing more.

It confirms our reading of Stripe's documentation, not Stripe itself. Written from the public
documentation and the SDK's types; the drift guard in the tests compares both.
"""
