"""Events of a restored log take the positions of lost ones: none of them is passed over."""

from collections.abc import Sequence

import pytest

from libs.runtime.positions import Incarnation
from libs.runtime.streams import mark, recreate
from tests.support import waiting
from tests.support.following import Following, event

pytestmark = pytest.mark.requirement("OPS-2")


async def follow_and_lose(world: Following, *, shared: int, lost: int) -> None:
    """Follow `shared` + `lost` events; then the stream begins anew behind the shared ones."""
    await world.publish(*(event(n) for n in range(1, shared + lost + 1)))
    async with world.follower():
        await world.reach(shared + lost)
    await make_anew(world, Incarnation(2, shared + 1))


async def make_anew(world: Following, incarnation: Incarnation) -> None:
    async with world.server.client("provision") as nc:
        await recreate(nc, 0, incarnation)
    world.incarnations.append(incarnation)


async def reach(world: Following, incarnation: int, position: int) -> None:
    async def reached() -> bool:
        return await rows(world) == [(incarnation, position)]

    await waiting.until(reached)


async def rows(world: Following) -> Sequence[tuple[int, int]]:
    query = "select incarnation, position from pulled.positions"
    return [tuple(row) for row in await world.sql(query)]


async def test_a_place_beyond_the_restored_log_goes_back_to_where_they_part(world):
    await follow_and_lose(world, shared=6, lost=4)
    # Two were written between the restore and the rebuild, under the old number.
    await world.publish(event(7), event(8), *(event(n, incarnation=2) for n in (9, 10, 11)))
    async with world.follower() as follower:
        await reach(world, 2, 11)
        assert follower.problem() is None
    assert await world.effects() == [*range(1, 11), *range(7, 12)]


async def test_effects_are_keyed_by_the_history_that_is_followed(world):
    """Else event 7 would have the key of the lost event 7, and be taken for done."""
    await follow_and_lose(world, shared=6, lost=4)
    await world.publish(event(7), event(8, incarnation=2))
    keys = []

    def noting(write):
        async def apply(connection, body):
            keys.append((body["incarnation"], body["position"]))
            await write(connection, body)

        return apply

    async with world.follower(apply=noting):
        await reach(world, 2, 8)
    assert keys == [(2, 7), (2, 8)]


async def test_going_back_happens_once_also_when_it_is_interrupted(world):
    await follow_and_lose(world, shared=6, lost=4)
    await world.publish(event(7), event(8), event(9, incarnation=2))
    failed = []

    def fails_once(write):
        async def apply(connection, body):
            if body["position"] == 8 and not failed:
                failed.append(True)
                raise RuntimeError("no luck")
            await write(connection, body)

        return apply

    async with world.follower(apply=fails_once):
        await reach(world, 2, 9)
    assert failed
    assert await world.effects() == [*range(1, 11), 7, 8, 9]


async def test_a_place_before_that_goes_on_where_it_is(world):
    await world.publish(*(event(n) for n in range(1, 6)))
    async with world.follower():
        await world.reach(5)
        await make_anew(world, Incarnation(2, 6))
        await world.publish(event(6, incarnation=2), event(7, incarnation=2))
        await reach(world, 2, 7)
    assert await world.effects() == list(range(1, 8))


async def test_of_several_restores_the_earliest_difference_counts(world):
    await follow_and_lose(world, shared=4, lost=6)
    world.incarnations.append(Incarnation(5, 7))
    await world.publish(
        event(5), event(6, incarnation=2), event(7, incarnation=2), event(8, incarnation=5)
    )
    async with world.follower():
        await reach(world, 5, 8)
    assert await world.effects() == [*range(1, 11), 5, 6, 7, 8]


async def test_an_incarnation_that_the_log_has_lost_is_a_problem(world, eventually):
    await world.publish(event(1), event(2))
    await world.sql("insert into pulled.positions values (0, 3, 1)")
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "farebox admin stream rebuild 0" in follower.problem()
    assert await world.effects() == []


async def test_a_stream_about_to_be_made_anew_is_not_followed_any_more(world, eventually):
    """It holds the lost history: followed now, that would count as the new one's."""
    await world.publish(*(event(n) for n in range(1, 9)))
    async with world.server.client("provision") as nc:
        await mark(nc, 0, Incarnation(2, 5))
    world.incarnations.append(Incarnation(2, 5))
    await world.sql("insert into pulled.positions values (0, 1, 8)")
    async with world.follower() as follower:
        await eventually(follower.problem)
        assert "about to be made anew" in follower.problem()
        assert await world.effects() == []
        async with world.server.client("provision") as nc:
            await recreate(nc, 0, Incarnation(2, 5))
        await world.publish(event(5, incarnation=2), event(6, incarnation=2))
        await reach(world, 2, 6)
    assert await world.effects() == [5, 6]
