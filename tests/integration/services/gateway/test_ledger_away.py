"""Without the ledger nothing is executed; with its answer missing nothing is lost."""

import asyncio
from pathlib import Path

import openai
import pytest

from libs.events.codec import decode_command
from libs.runtime import faults
from services.gateway.journal_file import read
from simulators.provider.app import RunningProvider
from tests.support.gateway import (
    DOLLAR,
    GatewayLedger,
    RunningGateway,
    catalogue_for,
    running_gateway,
    until,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def journalled(folder: Path) -> list:
    """The commands on disk."""
    return [
        decode_command(record)
        for path in sorted((folder / "journal").glob("*.journal"))
        for record in read(path.read_bytes()).records
    ]


@pytest.fixture
def fresh() -> GatewayLedger:
    return GatewayLedger()


@pytest.mark.requirement("RSV-8")
class TestFailsClosed:
    async def test_an_unanswered_reserve_is_a_503_and_no_upstream_call(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        account = fresh.account(DOLLAR)
        key = fresh.key(account)
        fresh.unheard.add("Reserve")
        async with running_gateway(folder, catalogue_for(provider.url), fresh) as gateway:
            async with gateway.sdk(key) as client:
                with pytest.raises(openai.InternalServerError) as caught:
                    await client.chat.completions.create(
                        model="swift-1", messages=[{"role": "user", "content": "Hello"}]
                    )
            assert caught.value.status_code == 503
            assert caught.value.code == "ledger_unavailable"
            assert int(caught.value.response.headers["retry-after"]) > 0
            assert provider.record.calls == []
            # The reserve may still arrive: its undoing is on disk before the client is answered.
            [release] = journalled(folder)
            assert release.kind == "Release"
            assert release.data.reserve_deadline is not None

    async def test_a_reserve_that_arrived_unheard_is_given_back(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        account = fresh.account(DOLLAR)
        key = fresh.key(account)
        fresh.lost.add("Reserve")
        async with running_gateway(folder, catalogue_for(provider.url), fresh) as gateway:
            assert (await gateway.chat(key)).status_code == 503
            assert fresh.reserved(account) > 0
            await gateway.worker.replay.round()
            assert fresh.available(account) == DOLLAR
            assert journalled(folder) == []
        assert provider.record.calls == []

    async def test_the_undoing_of_a_reserve_that_never_arrived_waits_for_its_deadline(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        key = fresh.key(fresh.account(DOLLAR))
        fresh.unheard.add("Reserve")
        async with running_gateway(folder, catalogue_for(provider.url), fresh) as gateway:
            assert (await gateway.chat(key)).status_code == 503
            await gateway.worker.replay.round()
            assert len(journalled(folder)) == 1
            fresh.rules.after(seconds=6)
            await gateway.worker.replay.round()
            assert journalled(folder) == []

    async def test_a_key_that_cannot_be_looked_up_is_a_503(
        self, gateway: RunningGateway, ledger: GatewayLedger, provider: RunningProvider
    ):
        key = ledger.key(ledger.account(DOLLAR))
        ledger.away = True
        answer = await gateway.chat(key)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "ledger_unavailable"
        assert answer.headers["retry-after"] == "2"
        assert provider.record.calls == []

    async def test_nothing_is_taken_before_the_ledger_said_who_it_is(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        key = fresh.key(fresh.account(DOLLAR))
        async with running_gateway(
            folder, catalogue_for(provider.url), fresh, admitted=False
        ) as gateway:
            assert (await gateway.chat(key)).status_code == 503
            ready = await gateway.http.get("/health/ready")
            assert (ready.status_code, list(ready.json()["problems"])) == (503, ["ledger"])
            assert (await gateway.http.get("/health/live")).status_code == 200
            assert (fresh.asked, fresh.sent, provider.record.calls) == ([], [], [])
            fresh.away = True
            admitting = asyncio.create_task(gateway.worker.admit())
            await until(lambda: fresh.installations)
            assert not gateway.worker.paid.open
            fresh.away = False
            await admitting
            assert (await gateway.http.get("/health/ready")).status_code == 200
            assert (await gateway.chat(key)).status_code == 200

    async def test_a_journal_that_cannot_be_written_takes_no_request(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        key = fresh.key(fresh.account(DOLLAR))
        async with running_gateway(
            folder, catalogue_for(provider.url), fresh, journal_min_free=2**62
        ) as gateway:
            assert (await gateway.chat(key)).status_code == 503
            ready = await gateway.http.get("/health/ready")
            assert "journal" in ready.json()["problems"]
        assert fresh.sent == []
        assert provider.record.calls == []


@pytest.mark.requirement("RSV-6")
class TestNothingIsLost:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("how", ["unheard", "lost"])
    async def test_an_unanswered_settlement_is_on_disk_before_the_last_byte(
        self,
        folder: Path,
        fresh: GatewayLedger,
        provider: RunningProvider,
        how: str,
        stream: bool,
    ):
        account = fresh.account(DOLLAR)
        key = fresh.key(account)
        getattr(fresh, how).add("Settle")
        async with running_gateway(folder, catalogue_for(provider.url), fresh) as gateway:
            answer = await gateway.chat(key, stream=stream)
            assert answer.status_code == 200
            assert answer.text.endswith("[DONE]\n\n") == stream
            assert "farebox-charged" not in answer.headers
            [settle] = journalled(folder)
            assert settle.kind == "Settle"
            getattr(fresh, how).clear()
            await gateway.worker.replay.round()
            assert journalled(folder) == []
        [charged] = fresh.events("CreditsCharged")
        assert charged["charge"] == str(settle.data.charge)
        assert fresh.available(account) == DOLLAR - settle.data.charge

    async def test_the_next_process_settles_what_the_last_one_could_not(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        account = fresh.account(DOLLAR)
        key = fresh.key(account)
        fresh.unheard.add("Settle")
        catalogue = catalogue_for(provider.url)
        async with running_gateway(folder, catalogue, fresh) as gateway:
            await gateway.chat(key)
            await gateway.chat(key)
        assert len(journalled(folder)) == 2
        fresh.unheard.clear()
        async with running_gateway(folder, catalogue, fresh) as gateway:
            await gateway.worker.replay.round()
            await gateway.worker.replay.round()
        assert len(fresh.events("CreditsCharged")) == 2
        assert fresh.reserved(account) == 0
        assert list((folder / "journal").iterdir()) == []

    async def test_a_release_that_is_not_answered_is_kept_as_well(
        self, folder: Path, fresh: GatewayLedger, provider: RunningProvider
    ):
        from tests.support.gateway import script

        account = fresh.account(DOLLAR)
        key = fresh.key(account)
        fresh.unheard.add("Release")
        script(provider, status=500)
        async with running_gateway(folder, catalogue_for(provider.url), fresh) as gateway:
            assert (await gateway.chat(key)).status_code == 502
            assert [command.kind for command in journalled(folder)] == ["Release"]
            fresh.unheard.clear()
            await gateway.worker.replay.round()
        assert fresh.available(account) == DOLLAR

    async def test_where_the_journal_fails_too_the_last_byte_waits_for_the_ledger(
        self,
        folder: Path,
        fresh: GatewayLedger,
        provider: RunningProvider,
        monkeypatch: pytest.MonkeyPatch,
    ):
        account = fresh.account(DOLLAR)
        key = fresh.key(account)
        fresh.unheard.add("Settle")
        async with running_gateway(folder, catalogue_for(provider.url), fresh) as gateway:

            async def full(_record: bytes) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(gateway.worker.journal, "append", full)
            request = asyncio.create_task(gateway.chat(key))
            await until(lambda: fresh.tries.count("Settle") >= 2)
            assert not request.done()
            fresh.unheard.clear()
            assert (await request).status_code == 200
        assert len(fresh.events("CreditsCharged")) == 1
        assert fresh.reserved(account) == 0

    async def test_the_fault_point_lies_before_the_settlement(
        self, gateway: RunningGateway, ledger: GatewayLedger, monkeypatch: pytest.MonkeyPatch
    ):
        passed: list[tuple[str, list[str]]] = []

        def note(point: str) -> None:
            passed.append((point, list(ledger.tries)))

        monkeypatch.setattr("services.gateway.reservations.fault", note)
        assert {"before_settle"} <= faults.POINTS
        await gateway.chat(ledger.key(ledger.account(DOLLAR)))
        assert passed == [("before_settle", ["Reserve"])]
