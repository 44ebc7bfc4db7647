"""The rules of the ledger: pure functions from (state, command, moment) to events, and back.

Nothing here reads a clock, draws a random number or does I/O: what a command does depends on
its arguments alone, so a decision can be replayed, simulated and proven.
"""
