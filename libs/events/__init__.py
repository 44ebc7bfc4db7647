"""What the services say to each other: ids, amounts, commands, events, replies, subjects.

The pydantic models are the contract. Nothing here does I/O, and no clock is read except by
`ids.uuid7`.
"""
