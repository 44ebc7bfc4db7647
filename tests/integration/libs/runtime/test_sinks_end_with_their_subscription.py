from libs.runtime.sink import subscribe_sink


async def test_a_sink_is_served_by_the_server_and_forgotten_once_it_is_drained(
    own_nats_server, eventually
):
    seen = []
    async with own_nats_server.client("root") as nc:
        for turn in range(3):
            subscription = await subscribe_sink(nc, "a.*", lambda *message: seen.append(message))
            await nc.publish("a.b", b"%d" % turn, reply="inbox.c")
            await eventually(lambda turn=turn: len(seen) == turn + 1)
            await subscription.drain()
            await nc.publish("a.b", b"too late")
            await nc.flush()
        await subscribe_sink(nc, "a.*", lambda *_message: None)
        assert len(nc._ps.sinks) == 1
    assert seen == [("a.b", "inbox.c", b"%d" % turn) for turn in range(3)]
