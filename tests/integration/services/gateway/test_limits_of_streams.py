"""Bounds on what runs on after a client has gone, or does not go on at all."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from simulators.provider.app import RunningProvider
from tests.integration.services.gateway.test_streams import whole
from tests.support.deadlines import ToldDeadline
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    all_closed,
    catalogue_for,
    running_gateway,
    script,
    until,
)


@pytest.fixture
def fresh() -> GatewayLedger:
    return GatewayLedger()


async def test_over_the_cap_of_drains_the_upstream_is_cut_and_the_estimate_charged(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    account = fresh.account(DOLLAR)
    script(provider, words=30, hold_after_chunks=20)
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), fresh, drains_max=0
    ) as gateway:
        async with gateway.chat_stream(fresh.key(account)) as answer:
            await anext(answer.aiter_bytes())
        await all_closed(fresh)
    [charged] = fresh.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert charged["usage"]["output_tokens"] > 0


async def test_a_drain_ends_at_its_deadline_with_the_estimate(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    account = fresh.account(DOLLAR)
    script(provider, words=30, hold_after_chunks=20)
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), fresh, drain_max_s=0.05
    ) as gateway:
        async with gateway.chat_stream(fresh.key(account)) as answer:
            await anext(answer.aiter_bytes())
        await all_closed(fresh)
        assert gateway.worker.means.drains.free == 100
    assert fresh.events("CreditsCharged")[0]["basis"] == "estimate"


async def test_a_provider_that_falls_silent_is_given_up_and_costs_nothing(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    account = fresh.account(DOLLAR)
    catalogue = catalogue_for(provider.url, **{'idle = "120s"': 'idle = "100ms"'})
    script(provider, hold_after_chunks=3)
    async with running_gateway(tmp_path, catalogue, fresh) as gateway:
        text = await whole(gateway, fresh.key(account))
    assert b"upstream_timeout" in text
    assert fresh.available(account) == DOLLAR


async def test_a_slow_client_is_not_the_providers_silence(
    tmp_path: Path,
    provider: RunningProvider,
    fresh: GatewayLedger,
    deadlines: list[ToldDeadline],
):
    account = fresh.account(100 * DOLLAR)
    script(provider, words=8000, word_bytes=4096, ignore_cap=True)
    async with (
        running_gateway(tmp_path, catalogue_for(provider.url), fresh) as gateway,
        gateway.chat_stream(fresh.key(account)) as answer,
    ):
        pieces = answer.aiter_bytes()
        await anext(pieces)
        [exchange] = gateway.worker.pumps.exchanges()
        await until(lambda: exchange.full and deadlines[0].paused)
        rest = b"".join([piece async for piece in pieces])
        await all_closed(fresh)
    assert not deadlines[0].paused, "it is waited for again"
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_client_that_never_reads_counts_as_gone(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    account = fresh.account(100 * DOLLAR)
    script(provider, words=8000, word_bytes=4096, ignore_cap=True)
    async with (
        running_gateway(
            tmp_path, catalogue_for(provider.url), fresh, client_stall_s=0.1
        ) as gateway,
        gateway.chat_stream(fresh.key(account)) as answer,
    ):
        await anext(answer.aiter_bytes())
        await all_closed(fresh)
    assert fresh.events("CreditsCharged")[0]["usage"]["output_tokens"] == 8000


async def test_reading_slowly_is_no_way_to_have_an_answer_for_nothing(
    tmp_path: Path,
    provider: RunningProvider,
    fresh: GatewayLedger,
    deadlines: list[ToldDeadline],
):
    account = fresh.account(100 * DOLLAR)
    script(provider, words=8000, word_bytes=4096, ignore_cap=True)
    async with (
        running_gateway(tmp_path, catalogue_for(provider.url), fresh) as gateway,
        gateway.chat_stream(fresh.key(account)) as answer,
    ):
        pieces = answer.aiter_bytes()
        await anext(pieces)
        await until(lambda: gateway.worker.pumps.exchanges()[0].full)
        deadlines[0].latest_in(0)
        closing = asyncio.create_task(all_closed(fresh))
        rest = b"".join([piece async for piece in _slowly(pieces, closing)])
    [charged] = fresh.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert charged["usage"]["output_tokens"] > 0
    assert b"[DONE]" not in rest


async def _slowly(pieces: AsyncIterator[bytes], closed: asyncio.Task[None]) -> AsyncIterator[bytes]:
    """What waits, once the request is closed: until then nothing is read."""
    await closed
    async for piece in pieces:
        yield piece


async def test_stopping_gives_back_what_has_not_begun(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    account = fresh.account(DOLLAR)
    script(provider, hold=True)
    async with running_gateway(
        tmp_path, catalogue_for(provider.url), fresh, shutdown_grace_s=0.05
    ) as gateway:
        request = asyncio.create_task(whole(gateway, fresh.key(account)))
        await until(lambda: provider.record.calls)
    await asyncio.wait({request})
    assert fresh.kinds() == ["Reserve"]
    # The next process finds the release in the journal.
    async with running_gateway(tmp_path, catalogue_for(provider.url), fresh) as gateway:
        await gateway.worker.replay.round()
    assert fresh.kinds() == ["Reserve", "Release"]
    assert fresh.available(account) == DOLLAR


async def stopped_in_mid_stream(
    folder: Path, provider: RunningProvider, ledger: GatewayLedger
) -> bytes:
    """What the client of a stream got from a gateway that was stopped meanwhile."""
    script(provider, words=30, hold_after_chunks=20)
    key = ledger.key(ledger.account(DOLLAR))
    async with httpx.AsyncClient(timeout=30) as client:
        async with running_gateway(
            folder, catalogue_for(provider.url), ledger, shutdown_grace_s=0.05
        ) as gateway:
            lasting = dataclasses.replace(gateway, http=client)
            client.base_url = gateway.url
            request = asyncio.create_task(whole(lasting, key))
            await until(lambda: provider.record.calls and provider.record.calls[0].chunks == 20)
            await until(lambda: gateway.worker.pumps.exchanges()[0].started)
        return await request


def assert_charged_by_the_estimate(ledger: GatewayLedger) -> None:
    [charged] = ledger.events("CreditsCharged")
    assert charged["basis"] == "estimate"
    assert 0 < charged["usage"]["output_tokens"] < 60
    assert not ledger.rules.reservations


async def test_stopping_charges_what_was_delivered(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    text = await stopped_in_mid_stream(tmp_path, provider, fresh)
    assert b"gateway_stopped" in text
    assert fresh.kinds() == ["Reserve", "Settle"]
    assert_charged_by_the_estimate(fresh)


async def test_stopping_keeps_the_charge_when_the_ledger_does_not_answer(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    fresh.unheard = {"Settle"}
    await stopped_in_mid_stream(tmp_path, provider, fresh)
    assert fresh.kinds() == ["Reserve"]
    fresh.unheard = set()
    async with running_gateway(tmp_path, catalogue_for(provider.url), fresh) as gateway:
        await gateway.worker.replay.round()
    assert_charged_by_the_estimate(fresh)


async def test_stopping_keeps_the_charge_when_the_ledger_hangs(
    tmp_path: Path, provider: RunningProvider, fresh: GatewayLedger
):
    fresh.held["Settle"] = asyncio.Event()
    await stopped_in_mid_stream(tmp_path, provider, fresh)
    assert fresh.kinds() == ["Reserve"]
    fresh.held.clear()
    async with running_gateway(tmp_path, catalogue_for(provider.url), fresh) as gateway:
        await gateway.worker.replay.round()
    assert_charged_by_the_estimate(fresh)
