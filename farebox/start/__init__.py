"""From nothing to a running shop: `farebox init`, `farebox doctor`, `farebox import`."""
