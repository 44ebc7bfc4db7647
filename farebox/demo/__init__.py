"""The demo: a whole installation, two customers, and every printed amount checked."""
