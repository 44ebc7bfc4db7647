import asyncio

import pytest

from libs.runtime import pull
from libs.runtime.pull import LedgerPull


class Nc:
    def jetstream(self):
        return None


@pytest.fixture
def follower():
    async def broken():
        raise RuntimeError("no database")

    return LedgerPull(
        Nc(),
        durable="recharge",
        partition=0,
        types=[],
        schema="recharge",
        connect=broken,
        apply=None,
        fetch_gap=None,
        fetch_incarnations=None,
    )


async def test_pauses_double_up_to_ten_seconds(follower, monkeypatch):
    pauses = []

    async def note(seconds):
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    monkeypatch.setattr(pull.asyncio, "sleep", note)
    with pytest.raises(asyncio.CancelledError):
        await follower.run()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert follower.problem() == "at position 0: RuntimeError('no database')"


@pytest.mark.parametrize("name", ["", "a b", "x; drop table y", "a.b"])
def test_a_schema_is_a_plain_name(name):
    with pytest.raises(ValueError, match="not the name of a schema"):
        pull.Positions(name)
