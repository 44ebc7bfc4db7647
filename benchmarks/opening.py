"""What opens an account that can be spent from."""

from datetime import UTC, datetime, timedelta

from farebox.bench.commands import CATALOGUE
from libs.events import commands as c

RICH = 10**15


def publishing() -> c.PublishCatalogue:
    """What lets partition 0 sell by the catalogue that the load names; once is enough."""
    data = c.PublishCatalogueData(hash=CATALOGUE, effective_from=datetime(2000, 1, 1, tzinfo=UTC))
    name = f"catalogue:{CATALOGUE}:0"
    return c.PublishCatalogue(
        caller_id=name, account_id="part_0", correlation_id="bench", data=data
    )


def opening(account: str, key: str) -> list[c.Command]:
    deadline = datetime.now(UTC) + timedelta(hours=1)
    common = {"account_id": account, "correlation_id": "bench"}
    opened = c.OpenAccountData(unit="USD", plan="payg", catalogue=CATALOGUE)
    issued = c.IssueKeyData(
        key_id=key, secret_hash=key[4:] * 2, purpose="inference", prefix="fb_0_bench"
    )
    granted = c.GrantCreditsData(source="admin", amount=RICH, priority=0, reason_code="bench")
    return [
        c.OpenAccount(caller_id=account, data=opened, **common),
        c.IssueKey(caller_id=key, data=issued, deadline=deadline, **common),
        c.GrantCredits(caller_id=f"bench:{account}", data=granted, **common),
    ]
