"""What clients and operators talk to: paid requests, billing, administration."""
