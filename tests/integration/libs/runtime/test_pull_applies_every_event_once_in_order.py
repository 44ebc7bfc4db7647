from libs.events import subjects
from libs.runtime.atomic_publish import publish_atomic
from libs.runtime.streams import provision
from tests.support.following import event


async def test_events_are_applied_once_in_order_and_their_place_is_stored(world):
    await world.publish(*(event(n) for n in range(1, 301)))
    async with world.follower():
        await world.reach(300)
        await world.publish(*(event(n) for n in range(301, 311)))
        await world.reach(310)
    assert await world.effects() == list(range(1, 311))


async def test_a_new_process_goes_on_behind_the_stored_place(world):
    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower():
        await world.reach(5)
    await world.publish(*(event(n) for n in range(6, 11)))
    async with world.follower("two"):
        await world.reach(10)
    assert await world.effects() == list(range(1, 11))


async def test_the_stored_place_wins_over_where_the_durable_stands(world):
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower():
        await world.reach(10)
    await world.sql("update pulled.positions set position = 4")
    async with world.follower():
        await world.reach(10)
    assert await world.effects() == [*range(1, 11), *range(5, 11)]


async def test_other_types_only_move_the_place_on(world):
    await world.publish(event(1), event(2, "Other"), event(3), event(4, "Other"))
    async with world.follower():
        await world.reach(4)
    assert await world.effects() == [1, 3]


async def test_a_filtered_durable_sees_no_gaps_where_it_left_events_out(world):
    async with world.server.client("provision") as nc:
        await provision(nc, 1, {"recharge": ("Wanted",)})
    async with world.server.client("ledger") as nc:
        kinds = ["Wanted", "Other", "Other", "Wanted", "Other", "Wanted"]
        messages = [(f"ledger.events.0.{kind}", event(n, kind)) for n, kind in enumerate(kinds, 1)]
        await publish_atomic(nc, messages, 0)
    async with world.follower(types=["Wanted"]) as follower:
        await world.reach(6)
        assert follower.problem() is None
    assert await world.effects() == [1, 4, 6]
    assert world.gap == []


async def test_malformed_bytes_are_quarantined_and_the_rest_goes_on(world):
    await world.publish(event(1), b"\x00not json", event(3), b"{}", event(5))
    async with world.follower() as follower:
        await world.reach(5)
        assert follower.problem() is None
    assert await world.effects() == [1, 3, 5]
    async with world.server.client("root") as nc:
        js = nc.jetstream()
        kept = [await js.get_msg("QUARANTINE", n) for n in (1, 2)]
    assert [m.subject for m in kept] == ["quarantine.recharge.0"] * 2
    assert [m.headers[subjects.POSITION_HEADER] for m in kept] == ["2", "4"]
    assert kept[0].data == b"\x00not json"


async def test_poison_that_cannot_be_quarantined_is_not_passed_over(world, eventually):
    async with world.server.client("root") as nc:
        await nc.jetstream().delete_stream("QUARANTINE")
    await world.publish(event(1), b"poison", event(3))
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "at position 1" in follower.problem()
        assert await world.stored() == 1
        async with world.server.client("provision") as nc:
            await provision(nc, 1, {"recharge": ()})
        await world.reach(3)
    assert await world.effects() == [1, 3]


def failing(times, at):
    """Make the effect of position ``at`` fail ``times`` times after it was half done."""
    left = [times]

    def wrap(write):
        async def apply(connection, body):
            await write(connection, body)
            if body["position"] == at and left[0]:
                left[0] -= 1
                raise RuntimeError("no luck")

        return apply

    return wrap


async def test_a_failed_effect_leaves_no_trace_and_is_repeated_before_what_follows(world):
    await world.publish(*(event(n) for n in range(1, 21)))
    async with world.follower(apply=failing(3, at=7)) as follower:
        await world.reach(20)
        assert follower.problem() is None
    assert await world.effects() == list(range(1, 21))


async def test_an_effect_that_keeps_failing_stops_there_and_is_a_problem(world, eventually):
    await world.publish(*(event(n) for n in range(1, 11)))
    async with world.follower(apply=failing(10**6, at=4)) as follower:
        await eventually(follower.problem)
        assert follower.problem() == "at position 3: RuntimeError('no luck')"
    assert await world.effects() == [1, 2, 3]
    assert await world.stored() == 3


async def test_an_unknown_version_waits_for_a_program_that_knows_it(world, eventually):
    await world.publish(event(1), event(2, type_version=2), event(3))
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "unknown version 2 of Thing" in follower.problem()
    assert await world.effects() == [1]


async def test_a_sequence_that_is_not_its_position_is_never_applied(world, eventually):
    await world.publish(event(1), event(7))
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "sequence 2 holds position 7" in follower.problem()
    assert await world.effects() == [1]


async def test_what_the_stream_dropped_is_read_from_the_ledger(world):
    await world.publish(*(event(n) for n in range(1, 8)))
    await shorten(world, keep=2)
    async with world.follower():
        await world.reach(7)
    assert await world.effects() == list(range(1, 8))
    assert world.gap == [(1, 5), (4, 5)]


async def test_a_ledger_that_cannot_fill_the_gap_stops_it(world, eventually):
    async def nothing(first, last):
        return []

    await world.publish(*(event(n) for n in range(1, 8)))
    await shorten(world, keep=2)
    async with world.follower(fetch_gap=nothing) as follower:
        await eventually(follower.problem)
        assert "does not give the events from 1 on" in follower.problem()
    assert await world.effects() == []


async def shorten(world, keep):
    """Let the stream drop all but its last messages, as their age would."""
    async with world.server.client("root") as nc:
        js = nc.jetstream()
        config = (await js.stream_info("LEDGER_0")).config
        await js.update_stream(config.evolve(max_msgs=keep))
        await js.update_stream(config)


async def test_a_place_beyond_the_streams_end_is_refused_and_waited_for(world, eventually):
    await world.publish(event(1), event(2))
    await world.sql("insert into pulled.positions values (0, 1, 4)")
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "LEDGER_0 ends at 2, before this position" in follower.problem()
        await world.publish(event(3), event(4), event(5))  # the relay heals the stream
        await world.reach(5)
    assert await world.effects() == [5]
