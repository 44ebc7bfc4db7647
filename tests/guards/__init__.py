"""Guards that protect money, and the test that must go red when one is removed."""
