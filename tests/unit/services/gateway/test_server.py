import asyncio
import socket

import pytest

from services.gateway.server import address_of, listen


def test_an_address_is_host_and_port():
    assert address_of("127.0.0.1:8402") == ("127.0.0.1", 8402)
    assert address_of("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize("text", ["", "8402", "host:", ":80", "host:http"])
def test_anything_else_names_the_setting(text: str):
    with pytest.raises(ValueError, match="FAREBOX_LISTEN"):
        address_of(text)


def test_workers_share_a_port_only_when_told_to():
    with listen(("127.0.0.1", 0), shared=True) as first:
        address = first.getsockname()
        with listen(address, shared=True) as second:
            assert second.getsockname() == address
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{address[1]}"):
            listen(address, shared=False)
    listen(address, shared=False).close()


async def test_an_answer_in_two_parts_does_not_wait_for_an_acknowledgement():
    """asyncio switches Nagle's delay off only where the socket names its protocol."""
    seen = asyncio.get_running_loop().create_future()

    async def note(_reader, writer):
        connection = writer.get_extra_info("socket")
        seen.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = listen(("127.0.0.1", 0), shared=False)
    async with await asyncio.start_server(note, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert await seen
        writer.close()
        await writer.wait_closed()
