import nats.errors
import pytest

from libs.events import subjects
from libs.runtime.quarantine import ERROR_HEADER, quarantine
from libs.runtime.streams import provision


@pytest.fixture
async def service(own_nats_server):
    async with own_nats_server.client("provision") as nc:
        await provision(nc, 1)
    async with own_nats_server.client("recharge") as nc:
        yield nc


@pytest.fixture
async def kept(own_nats_server):
    async with own_nats_server.client("root") as nc:
        js = nc.jetstream()

        async def read():
            last = (await js.stream_info(subjects.QUARANTINE_STREAM)).state.last_seq
            return [await js.get_msg(subjects.QUARANTINE_STREAM, n) for n in range(1, last + 1)]

        yield read


async def test_an_event_is_kept_with_its_position_and_error(service, kept):
    await quarantine(service, "recharge", 0, 17, b"\x00\xff", "not an event")
    (message,) = await kept()
    assert message.subject == "quarantine.recharge.0"
    assert message.data == b"\x00\xff"
    assert message.headers[subjects.POSITION_HEADER] == "17"
    assert message.headers[ERROR_HEADER] == "not an event"


async def test_the_same_position_is_kept_once(service, kept):
    for _ in range(3):
        await quarantine(service, "recharge", 0, 17, b"x", "bad")
    await quarantine(service, "recharge", 1, 17, b"x", "bad")
    assert len(await kept()) == 2


async def test_a_command_has_no_position_and_is_kept_each_time(service, kept):
    for _ in range(2):
        await quarantine(service, "recharge", 0, None, b"x", "bad")
    await quarantine(service, "recharge", 0, 1, b"an event", "waited for")
    *commands, _ = await kept()
    assert [message.data for message in commands] == [b"x", b"x"]
    assert subjects.POSITION_HEADER not in commands[0].headers


@pytest.mark.parametrize("error", ["a\r\nNats-Rollup: all", "é\x00", "", "x" * 5000])
async def test_what_is_wrong_cannot_become_a_header_of_its_own(service, kept, error):
    await quarantine(service, "recharge", 0, 1, b"x", error)
    (message,) = await kept()
    assert set(message.headers) == {ERROR_HEADER, subjects.POSITION_HEADER, "Nats-Msg-Id"}
    assert len(message.headers[ERROR_HEADER]) <= 300


async def test_without_the_stream_an_event_is_an_error(own_nats_server):
    async with own_nats_server.client("recharge") as nc:
        with pytest.raises(nats.errors.Error):
            await quarantine(nc, "recharge", 0, 17, b"x", "bad")
