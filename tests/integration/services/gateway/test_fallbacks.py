"""Several upstreams for one model: the next is tried before the first byte, and never after it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from libs.catalogue import charge_nanos
from simulators.provider.app import RunningProvider, running_provider
from tests.support.deadlines import ToldDeadline
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    all_closed,
    catalogue_for,
    running_gateway,
    script,
    until,
)

pytestmark = pytest.mark.requirement("PRC-6")

NORTH, SOUTH = "north/swift-1", "south/swift-1-b"
_ROUTES = {
    'routes = ["north/swift-1"]': f'routes = ["{NORTH}", "{SOUTH}"]',
}


@dataclass
class Two:
    """A gateway with two upstreams for one model."""

    gateway: RunningGateway
    ledger: GatewayLedger
    north: RunningProvider
    south: RunningProvider
    account: str = ""
    key: str = ""

    async def chat(self, **fields):
        return await self.gateway.chat(self.key, **fields)

    def closing(self) -> dict:
        """What the ledger has of the one request."""
        assert not self.ledger.rules.reservations
        [closed] = self.ledger.events("CreditsCharged") + self.ledger.events("CreditsReleased")
        return closed

    def attempts(self) -> list[tuple[str, int | None, str | None]]:
        return [(a["upstream"], a["status"], a["reason"]) for a in self.closing()["attempts"]]

    def asked(self) -> tuple[int, int]:
        return len(self.north.record.calls), len(self.south.record.calls)


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    folder, ledger = tmp_path_factory.mktemp("gateway"), GatewayLedger()
    async with running_provider() as north, running_provider() as south:
        routes = _ROUTES | {"https://llm.south.example/v1": f"{south.url}/v1"}
        catalogue = catalogue_for(north.url, **routes)
        async with running_gateway(folder, catalogue, ledger, breaker_failures=3) as gateway:
            yield Two(gateway, ledger, north, south)


@pytest.fixture
def two(running: Two) -> Two:
    """Both upstreams well, nothing asked yet, an account with a dollar."""
    running.north.record.reset()
    running.south.record.reset()
    running.ledger.reset()
    running.gateway.worker.means.routing._health.clear()
    running.account = running.ledger.account(DOLLAR)
    running.key = running.ledger.key(running.account)
    return running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        ({"status": 500}, 500, "upstream_error"),
        ({"status": 529}, 529, "upstream_overloaded"),
        ({"status": 503}, 503, "upstream_overloaded"),
        ({"status": 429}, 429, "upstream_rate_limited"),
        ({"status": 408}, 408, "upstream_timeout"),
        ({"status": 401}, 401, "upstream_refused"),
        ({"reset": True}, None, "upstream_interrupted"),
        ({"die_after_chunks": 0}, 200, "upstream_interrupted"),
    ],
)
async def test_what_fails_before_the_first_byte_is_tried_at_the_next(
    two: Two, behaviour: dict, status: int | None, reason: str, stream: bool
):
    script(two.north, **behaviour)
    answer = await two.chat(stream=stream)
    assert answer.status_code == 200
    assert answer.headers["farebox-route"] == SOUTH
    assert answer.headers["farebox-route-reason"] == f"fallback:{reason}"
    assert two.ledger.kinds() == ["Reserve", "Settle"]
    charged = two.closing()
    assert (charged["route"], charged["route_reason"]) == (SOUTH, f"fallback:{reason}")
    assert two.attempts() == [("north", status, reason), ("south", 200, None)]
    usage = two.south.record.calls[0].usage
    assert usage is not None
    # At the price of the route that served it: 0.30 and 2.40 per million.
    cost = usage["prompt_tokens"] * 300_000 + usage["completion_tokens"] * 2_400_000
    assert int(charged["charge"]) == charge_nanos(cost, 1000, "USD")
    assert two.ledger.available(two.account) == DOLLAR - int(charged["charge"])
    assert two.south.record.calls[0].body["model"] == "swift-1-b"


async def test_an_answer_that_cannot_be_read_is_tried_at_the_next(two: Two):
    script(two.north, raw="<html>")
    assert (await two.chat()).status_code == 200
    assert two.attempts() == [("north", 200, "upstream_invalid"), ("south", 200, None)]


async def test_a_stream_whose_first_byte_is_late_is_tried_at_the_next(
    two: Two, deadlines: list[ToldDeadline]
):
    script(two.north, hold=True)
    asking = asyncio.create_task(two.chat(stream=True))
    await until(lambda: two.north.record.calls)
    deadlines[0].within(0)
    answer = await asking
    assert answer.headers["farebox-route-reason"] == "fallback:upstream_timeout"
    assert answer.content.endswith(b"data: [DONE]\n\n")
    two.north.record.release()
    await until(lambda: two.north.record.calls[0].outcome == "client_gone")  # it was let go of


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_any_upstream_would_refuse_is_told_and_not_tried_again(two: Two, status: int):
    script(two.north, status=status)
    answer = await two.chat()
    assert answer.status_code == status
    assert two.asked() == (1, 0)
    assert two.attempts() == [("north", status, "upstream_rejected")]


@pytest.mark.parametrize("after", [1, 5])
async def test_nothing_is_tried_again_after_the_first_byte(two: Two, after: int):
    script(two.north, die_after_chunks=after)
    answer = await two.chat(stream=True)
    assert b"upstream_interrupted" in answer.content
    assert two.asked() == (1, 0)
    assert two.ledger.kinds() == ["Reserve", "Release"]
    assert two.ledger.available(two.account) == DOLLAR


async def test_nothing_is_tried_again_for_a_client_that_has_gone(two: Two):
    script(two.north, hold=True, status=500)
    request = asyncio.create_task(two.chat(stream=True))
    await until(lambda: two.north.record.calls)
    [exchange] = two.gateway.worker.pumps.exchanges()
    request.cancel()
    await until(lambda: exchange.gone)
    two.north.record.release()
    await all_closed(two.ledger)
    assert two.asked() == (1, 0)
    assert two.ledger.kinds() == ["Reserve", "Release"]


async def test_when_all_fail_the_last_failure_is_told_and_nothing_is_charged(two: Two):
    script(two.north, status=500)
    script(two.south, status=429, retry_after="7")
    answer = await two.chat()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "upstream_rate_limited")
    assert answer.headers["retry-after"] == "7"
    assert "Nothing was charged" in error["message"]
    assert "told to fail" not in error["message"]
    assert two.ledger.kinds() == ["Reserve", "Release"]
    assert two.attempts() == [
        ("north", 500, "upstream_error"),
        ("south", 429, "upstream_rate_limited"),
    ]
    assert two.ledger.available(two.account) == DOLLAR


async def test_a_long_wait_is_not_put_upon_the_sdks(two: Two):
    script(two.north, status=429, retry_after="3600")
    script(two.south, status=429, retry_after="3600")
    answer = await two.chat()
    assert "retry-after" not in answer.headers
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.requirement("PRC-2")
async def test_one_reservation_covers_the_dearest_route(two: Two):
    await two.chat(max_tokens=100)
    [reserved] = two.ledger.events("CreditsReserved")
    body = {"model": "swift-1", "messages": [{"role": "user", "content": "Hello"}]}
    size = len(orjson.dumps(body | {"max_tokens": 100}))
    cost = (size + 1024) * 300_000 + 100 * 2_400_000
    assert int(reserved["amount"]) == charge_nanos(cost, 1000, "USD")
    assert two.closing()["route_reason"] == "first"


async def test_a_route_that_keeps_failing_is_passed_over_until_it_is_well(two: Two):
    script(two.north, status=500, times=3)
    for _ in range(3):
        assert (await two.chat()).status_code == 200
    assert two.asked() == (3, 3)
    answer = await two.chat()
    assert answer.headers["farebox-route-reason"] == "fallback:circuit_open"
    assert two.asked() == (3, 4)
    [north, _] = two.gateway.worker.means.routing._health.values()
    north.breaker.open_until = 0.0  # its pause is over
    assert (await two.chat()).headers["farebox-route-reason"] == "first"
    assert north.breaker.state == "closed"
    assert (await two.chat()).headers["farebox-route"] == NORTH


async def test_an_upstream_that_asks_to_be_left_alone_is(two: Two):
    script(two.north, status=429, retry_after="30")
    for _ in range(3):
        assert (await two.chat()).headers["farebox-route"] == SOUTH
    assert two.asked() == (1, 3)


async def test_while_all_are_open_one_is_tried_and_none_after_it(two: Two):
    for upstream in (two.north, two.south):
        script(upstream, status=429, retry_after="30", times=2)
    assert (await two.chat()).status_code == 429
    assert two.asked() == (1, 1)
    assert (await two.chat()).status_code == 429
    assert sum(two.asked()) == 3
    released = two.ledger.events("CreditsReleased")[-1]
    assert len(released["attempts"]) == 1


async def test_a_client_that_leaves_before_the_first_byte_is_charged_once(two: Two):
    script(two.north, hold=True, words=5)
    request = asyncio.create_task(two.chat(stream=True))
    await until(lambda: two.north.record.calls)
    [exchange] = two.gateway.worker.pumps.exchanges()
    request.cancel()
    await until(lambda: exchange.gone)
    two.north.record.release()
    await all_closed(two.ledger)
    assert two.asked() == (1, 0)
    assert two.ledger.kinds() == ["Reserve", "Settle"]
    assert two.closing()["basis"] == "actual"
