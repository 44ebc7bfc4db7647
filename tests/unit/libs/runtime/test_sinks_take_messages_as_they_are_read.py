"""A sink sees what nats-py's parser would deliver, whatever way the bytes are cut."""

from types import SimpleNamespace

import pytest
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from libs.runtime.sink import Sink, SinkParser

WIRE = (
    b"MSG ledger.commands.0.use 7 inbox.gateway.1 5\r\nhello\r\n"
    b"MSG other 8 2\r\n\r\n\r\n"  # of another subscription, and its data looks like an end
    b"MSG ledger.commands.0.use 7 0\r\n\r\n"
    b"PING\r\n"
    b"HMSG ledger.commands.0.money 7 inbox.gateway.2 12 17\r\nNATS/1.0\r\n\r\nMSG 7\r\n"
    b"MSG ledger.commands.0.use 7 inbox.gateway.3 9\r\nMSG a 7 1\r\n"
)


class Connection:
    """The client's side of the parser: what came for whom, in which order."""

    def __init__(self):
        self.seen, self.stats = [], {"in_msgs": 0, "in_bytes": 0}

    def take(self, subject, reply, data):
        self.seen.append((subject, reply, data))

    async def _process_msg(self, sid, subject, reply, data, headers):
        self.seen.append((subject.decode(), reply.decode(), data))
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)

    async def _process_ping(self):
        self.seen.append("ping")


async def parsed(parts, *, with_sink):
    connection = Connection()
    parser = Parser(connection)
    if with_sink:
        parser = SinkParser(parser)
        parser.sinks[b"7"] = connection.take
    for part in parts:
        await parser.parse(part)
    return connection.seen, connection.stats


async def test_a_sink_sees_what_the_parser_delivers_at_every_cut():
    expected = await parsed([WIRE], with_sink=False)
    assert len(expected[0]) == 6
    assert await parsed([WIRE], with_sink=True) == expected
    for cut in range(1, len(WIRE)):
        assert await parsed([WIRE[:cut], WIRE[cut:]], with_sink=True) == expected, cut
    assert await parsed([WIRE[i : i + 1] for i in range(len(WIRE))], with_sink=True) == expected


async def test_what_was_half_read_is_forgotten_with_its_connection():
    connection = Connection()
    parser = SinkParser(Parser(connection))
    parser.sinks[b"7"] = connection.take
    await parser.parse(b"MSG a 7 5\r\nhal")
    parser.reset()
    await parser.parse(b"MSG a 7 2\r\nok\r\n")
    assert connection.seen == [("a", "", b"ok")]


def _broken(*_message):
    raise RuntimeError("defect")


@pytest.mark.parametrize("way", ["read", "delivered"])
async def test_a_defect_does_not_end_the_reading_of_the_connection(caplog, way):
    if way == "read":
        parser = SinkParser(Parser(SimpleNamespace(stats={"in_msgs": 0, "in_bytes": 0})))
        parser.sinks[b"1"] = _broken
        await parser.parse(b"MSG a 1 0\r\n\r\n")
    else:
        sink = Sink(_broken)
        sink.set_result(Msg(None, "a", "b", b""))
        assert not sink.done()
    assert "defect" in caplog.text
