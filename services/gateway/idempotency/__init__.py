"""`Idempotency-Key` on paid requests: a repeat holds, runs and charges nothing a second time."""
