"""The load on TigerBeetle, by the types of its own client: only the server is played here."""

import io
import subprocess
import sys
import time

import pytest
import tigerbeetle as tb
from tigerbeetle import bindings

from benchmarks import tigerbeetle_load
from benchmarks.tigerbeetle_load import HOLD_S, RICH, Side, run
from deploy.local.launch import free_port
from tests.support.process import ROOT


class Server:
    """What the load needs of TigerBeetle: accounts with a limit, transfers posted and pending."""

    def __init__(self, lose=0):
        self.accounts = {}
        self.transfers = []
        self.lose = lose

    async def create_accounts(self, accounts):
        for account in accounts:
            bindings.CAccount.from_param(account)
            self.accounts[account.id] = account
        return [tb.CreateAccountResult(1, tb.CreateAccountStatus.CREATED) for _ in accounts]

    async def create_transfers(self, transfers):
        return [tb.CreateTransferResult(1, self._status(transfer)) for transfer in transfers]

    def _status(self, transfer):
        bindings.CTransfer.from_param(transfer)
        payer, payee = (
            self.accounts[transfer.debit_account_id], self.accounts[transfer.credit_account_id]
        )  # fmt: skip
        bounded = tb.AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS in payer.flags
        spent = payer.debits_pending + payer.debits_posted
        if bounded and spent + transfer.amount > payer.credits_posted:
            return tb.CreateTransferStatus.EXCEEDS_CREDITS
        self.transfers.append(transfer)
        if tb.TransferFlags.PENDING in transfer.flags:
            payer.debits_pending += transfer.amount
            payee.credits_pending += transfer.amount
        else:
            payer.debits_posted += transfer.amount
            payee.credits_posted += transfer.amount
        return tb.CreateTransferStatus.CREATED

    async def lookup_accounts(self, numbers):
        found = [self.accounts[number] for number in numbers]
        found[0].credits_pending -= self.lose
        return found


@pytest.fixture(autouse=True)
def few_accounts(monkeypatch):
    monkeypatch.setattr(tigerbeetle_load, "ACCOUNTS", 20)
    monkeypatch.setattr(tigerbeetle_load, "AT_ONCE", 7)
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\n"))


async def test_every_call_is_one_pending_transfer_and_all_are_held():
    server = Server()
    report = await run(tb, server, 4, 0.05, 5)
    pending = [t for t in server.transfers if tb.TransferFlags.PENDING in t.flags]
    assert len(pending) == report["count"] > 4
    assert {(t.amount, t.timeout) for t in pending} == {(1, HOLD_S)}
    assert len({t.id for t in server.transfers}) == len(server.transfers)
    assert sum(report["histogram_ms"].values()) == report["count"]


async def test_a_refused_transfer_voids_the_round():
    side = Side(tb, Server())
    await side.prepare()
    for account in side.accounts:
        side.client.accounts[account].debits_posted = RICH
    with pytest.raises(SystemExit, match="void: .*EXCEEDS_CREDITS"):
        await side.call(time.perf_counter() + 1)


async def test_a_transfer_that_was_answered_but_is_not_held_voids_the_round():
    with pytest.raises(SystemExit, match="void: [0-9]+ answered, [0-9]+ held"):
        await run(tb, Server(lose=1), 2, 0.02, 5)


def test_an_address_where_nobody_answers_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tigerbeetle_load",
         "--address", f"127.0.0.1:{free_port()}", "--patience", "0.3"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no TigerBeetle server answered within 0.3 s" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_client_the_fix_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tigerbeetle", None)
    with pytest.raises(SystemExit, match=r"pip install 'farebox\[tigerbeetle\]'"):
        tigerbeetle_load.client_module()
