"""The benchmark's stub and load agree: every request is counted, and a refusal is no result."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.gateway.load import Client, Plan, Taken
from benchmarks.gateway.peers import stub
from benchmarks.gateway.rounds import FailedError, play
from benchmarks.gateway.stub import EVENTS

REFUSES_POST = """
from http.server import BaseHTTPRequestHandler, HTTPServer
server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def provider():
    with stub() as side:
        yield side


@pytest.mark.parametrize("shape", ["json", "stream"])
def test_all_that_was_asked_was_answered(provider, shape):
    made = play(provider, shape, 2, 0.4)
    assert made.requests >= 2
    assert made.events == (made.requests * EVENTS if shape == "stream" else 0)
    assert 0 < made.first_byte_p50_ms <= made.p50_ms <= made.p99_ms
    assert made.memory_mb > 0


async def refusing(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 402 Payment Required\r\ncontent-length: 2\r\n\r\nno")
    await writer.drain()
    writer.close()


async def test_an_answer_other_than_200_ends_the_load_with_its_text():
    server = await asyncio.start_server(refusing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(Plan("127.0.0.1", port, "/", {}, "{}", 1, 1.0).request(), 0.0, Taken())
    await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
    with pytest.raises(RuntimeError, match="402"):
        await client.done
    server.close()


def test_a_side_that_fails_is_named(provider):
    command = [sys.executable, "-c", REFUSES_POST]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        port = json.loads(server.stdout.readline())
        try:
            with pytest.raises(FailedError, match="501"):
                play(replace(provider, name="away", port=port), "json", 1, 0.2)
        finally:
            server.terminate()
