"""The gateway beside what a user would put there instead: `python -m benchmarks.gateway`."""
