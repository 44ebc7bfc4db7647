"""A client at a pace of its own."""

import asyncio


async def drip(writer: asyncio.StreamWriter, drops: bytes, *, pause_s: float = 0.02) -> None:
    """Send byte by byte, as a client that wants to hold the connection."""
    for drop in drops:
        writer.write(bytes([drop]))
        await asyncio.sleep(pause_s)


async def read_slowly(reader: asyncio.StreamReader, piece: int, *, pause_s: float) -> int:
    """Read to the end in pieces; return how much there was."""
    size = 0
    while found := await reader.read(piece):
        size += len(found)
        await asyncio.sleep(pause_s)
    return size
