import asyncio
import contextlib

from nats.aio.msg import Msg

from libs.runtime.streams import provision
from tests.support import waiting
from tests.support.following import event


async def test_of_two_processes_one_follows_and_the_other_takes_over(world, eventually):
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower("one") as one, world.follower("two") as two:
        await world.reach(10)
        first, second = (one, two) if one.following else (two, one)
        assert not second.following
        assert second.problem() is None
        name = (await world.sql("select distinct process from pulled.effects"))[0]["process"]
        await end_sessions(world, name)
        await eventually(lambda: one.following or two.following)
        await world.publish(*(event(n) for n in range(11, 21)))
        await world.reach(20)
        await eventually(lambda: one.following != two.following)  # who lost the lock notices
    assert await world.effects() == list(range(1, 21))


async def end_sessions(world, name):
    await world.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", name
    )


async def test_a_database_connection_lost_in_an_effect_repeats_the_effect(world):
    cut = []

    def wrap(write):
        async def apply(connection, body):
            await write(connection, body)
            if body["position"] == 3 and not cut:
                cut.append(True)
                await end_sessions(world, "one")

        return apply

    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower("one", apply=wrap):
        await world.reach(5)
    assert cut
    assert await world.effects() == [1, 2, 3, 4, 5]


async def test_a_killed_nats_server_is_waited_out(world):
    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower() as follower:
        await world.reach(5)
        world.server.kill()
        await world.server.start()
        await world.publish(*(event(n) for n in range(6, 11)))
        await world.reach(10)
        assert follower.position == 10
    assert await world.effects() == list(range(1, 11))


async def test_a_missing_delivery_starts_again_behind_the_stored_place(world):
    """Another reader of the durable takes messages away; none of them is lost."""
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower() as follower:
        await world.reach(10)
        async with world.server.client("recharge") as nc:
            thief = await nc.jetstream().pull_subscribe_bind("recharge", "LEDGER_0")
            stealing = asyncio.create_task(thief.fetch(5, timeout=5))

            async def both_wait():
                return (await thief.consumer_info()).num_waiting == 2

            await waiting.eventually(both_wait)
            await world.publish(*(event(n) for n in range(11, 31)))
            with contextlib.suppress(TimeoutError):
                await stealing
        await world.reach(30)
        assert follower.position == 30
    assert await world.effects() == list(range(1, 31))


async def test_a_message_delivered_again_is_not_applied_again(world, monkeypatch):
    async def lost(_message):
        """An acknowledgement that never arrives."""

    monkeypatch.setattr(Msg, "ack", lost)
    async with world.server.client("provision") as nc:
        js = nc.jetstream()
        config = (await js.consumer_info("LEDGER_0", "recharge")).config
        await js.add_consumer("LEDGER_0", config.evolve(ack_wait=0.2))
        await world.publish(event(1), event(2))
        async with world.follower() as follower:
            await world.reach(2)

            async def delivered_again():
                return (await js.consumer_info("LEDGER_0", "recharge")).num_redelivered == 2

            await waiting.eventually(delivered_again)
            await world.publish(event(3))
            await world.reach(3)
            assert follower.problem() is None
    assert await world.effects() == [1, 2, 3]


async def test_a_deleted_consumer_is_a_problem_not_silence(world, eventually):
    await world.publish(event(1))
    async with world.follower() as follower:
        await world.reach(1)
        async with world.server.client("root") as nc:
            await nc.jetstream().delete_consumer("LEDGER_0", "recharge")
        await eventually(follower.problem)
        async with world.server.client("provision") as nc:
            await provision(nc, 1, {"recharge": ()})
        await world.publish(event(2))
        await world.reach(2)
    assert await world.effects() == [1, 2]
