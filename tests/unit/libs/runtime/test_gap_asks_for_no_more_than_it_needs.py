import pytest

from libs.runtime.gap import gap_reader


class Ledger:
    def __init__(self):
        self.asked = []

    async def query(self, name, data, *, partition):
        self.asked.append((name, data, partition))
        first = data["from"]
        events = [
            {"position": n, "type": "Thing", "body": f'{{"n":{n}}}'}
            for n in range(first, first + data["limit"])
        ]
        return {"ok": True, "data": {"events": events}}


@pytest.mark.parametrize(
    ("first", "last", "limit"), [(5, 5, 1), (5, 504, 500), (5, 505, 500), (1, 10**6, 500)]
)
async def test_at_most_500_events_and_none_after_the_last(first, last, limit):
    ledger = Ledger()
    events = await gap_reader(ledger, 2)(first, last)
    assert ledger.asked == [("events", {"from": first, "limit": limit}, 2)]
    assert [position for position, _ in events] == list(range(first, first + limit))
    assert events[0][1] == b'{"n":%d}' % first
