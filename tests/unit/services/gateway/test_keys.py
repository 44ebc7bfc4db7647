"""The key in a request: hashed first, looked up by its hash, remembered while changes are heard."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.events.ids import new_id, new_secret, secret_hash
from libs.events.times import to_text
from libs.runtime.errors import LedgerUnavailable, PermissionDenied, QueryFailed
from services.gateway import keys as module
from services.gateway.key_cache import KeyCache
from services.gateway.keys import AuthError, KeyDirectory, key_text

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Ledger:
    def __init__(self) -> None:
        self.facts: dict[str, dict] = {}
        self.asked: list[tuple[str, int | None]] = []
        self.failure: Exception | None = None
        self.position = 10
        self.during = lambda: None

    def ledger_now(self) -> datetime:
        return NOW

    def key(self, **facts: object) -> str:
        secret = new_secret(2)
        self.facts[secret_hash(secret)] = {
            "key_id": new_id("key"),
            "account_id": new_id("acct"),
            "purpose": "inference",
            "allowed": None,
            "unit": "USD",
            "plan": "payg",
            "key_status": "active",
            "account_status": "open",
            "expires_at": None,
        } | facts
        return secret

    async def query(self, name, data, *, partition=None):
        assert name == "key_by_hash"
        self.asked.append((data["hash"], partition))
        if self.failure is not None:
            raise self.failure
        if data["hash"] not in self.facts:
            raise QueryFailed("unknown_key", "none")
        answer = {"ok": True, "position": self.position, "data": dict(self.facts[data["hash"]])}
        self.during()
        return answer


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def directory(ledger: Ledger) -> KeyDirectory:
    return KeyDirectory(ledger, partitions=4)


def bearer(secret: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {secret}".encode())]


async def status_of(directory: KeyDirectory, headers) -> int:
    with pytest.raises(AuthError) as caught:
        await directory.authenticate(headers)
    return caught.value.status


@pytest.mark.requirement("ACC-2")
class TestHash:
    async def test_only_the_hash_leaves_the_process(self, ledger: Ledger, directory: KeyDirectory):
        secret = ledger.key()
        info = await directory.authenticate(bearer(secret))
        assert ledger.asked == [(secret_hash(secret), 2)]
        assert info.position == 10
        assert secret not in repr(info)

    async def test_the_hash_is_made_before_anything_is_judged(
        self, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
    ):
        order: list[str] = []
        real_hash, real_partition = module.secret_hash, module.secret_partition
        monkeypatch.setattr(
            module, "secret_hash", lambda text: order.append("hash") or real_hash(text)
        )
        monkeypatch.setattr(
            module, "secret_partition", lambda text: order.append("read") or real_partition(text)
        )
        for secret in ("", "rubbish", new_secret(1)):
            order.clear()
            await status_of(directory, bearer(secret))
            assert order[0] == "hash"


@pytest.mark.requirement("ACC-3")
@pytest.mark.parametrize(
    "facts",
    [{"key_status": "revoked"}, {"account_status": "closed"}, {"expires_at": to_text(NOW)}],
)
async def test_a_key_that_is_over_is_a_401(ledger: Ledger, directory: KeyDirectory, facts: dict):
    assert await status_of(directory, bearer(ledger.key(**facts))) == 401


async def test_a_key_is_good_until_it_expires(ledger: Ledger, directory: KeyDirectory):
    secret = ledger.key(expires_at=to_text(NOW + timedelta(microseconds=1)))
    assert (await directory.authenticate(bearer(secret))).key_status == "active"


async def test_a_frozen_account_is_for_the_ledger_to_refuse(
    ledger: Ledger, directory: KeyDirectory
):
    secret = ledger.key(account_status="frozen")
    assert (await directory.authenticate(bearer(secret))).account_status == "frozen"


@pytest.mark.parametrize(
    "secret", ["", "sk-x", "fb_0_short", new_secret(4), "fb_01_" + "x" * 43, "ü"]
)
async def test_what_cannot_be_a_key_asks_nobody(ledger: Ledger, directory, secret: str):
    headers = [(b"authorization", b"Bearer " + secret.encode("latin-1"))]
    assert await status_of(directory, headers) == 401
    assert ledger.asked == []


@pytest.mark.parametrize(
    "failure", [LedgerUnavailable("away"), PermissionDenied("publish", "x"), QueryFailed("x", "y")]
)
async def test_a_ledger_that_cannot_say_is_a_503(ledger: Ledger, directory, failure: Exception):
    ledger.failure = failure
    assert await status_of(directory, bearer(new_secret(0))) == 503


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], ""),
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"bEaReR  abc ")], "abc"),
        ([(b"authorization", b"Basic abc")], ""),
        ([(b"x-api-key", b" abc ")], "abc"),
        ([(b"x-api-key", b"one"), (b"authorization", b"Bearer two")], "two"),
        ([(b"x-api-key", b"one"), (b"authorization", b"Basic two")], "one"),
    ],
)
def test_where_a_key_is_looked_for(headers: list, found: str):
    assert key_text(headers) == found


@pytest.mark.requirement("ACC-5")
class TestMemory:
    @pytest.fixture
    def cache(self) -> KeyCache:
        cache = KeyCache(3)
        cache.listen()
        return cache

    @pytest.fixture
    def directory(self, ledger: Ledger, cache: KeyCache) -> KeyDirectory:
        return KeyDirectory(ledger, partitions=4, remembered=cache)

    async def test_a_key_is_asked_for_once(self, ledger: Ledger, directory: KeyDirectory):
        secret = ledger.key()
        first = await directory.authenticate(bearer(secret))
        assert await directory.authenticate(bearer(secret)) == first
        assert len(ledger.asked) == 1

    async def test_an_unknown_key_is_never_remembered(self, ledger: Ledger, directory):
        secret = new_secret(0)
        assert await status_of(directory, bearer(secret)) == 401
        assert await status_of(directory, bearer(secret)) == 401
        assert len(ledger.asked) == 2

    async def test_a_change_makes_it_ask_again(self, ledger: Ledger, directory, cache: KeyCache):
        secret, other = ledger.key(), ledger.key()
        info = await directory.authenticate(bearer(secret))
        await directory.authenticate(bearer(other))
        ledger.facts[secret_hash(secret)]["key_status"] = "revoked"
        ledger.position = 11
        cache.changed(2, 11, info.account_id)
        assert await status_of(directory, bearer(secret)) == 401
        await directory.authenticate(bearer(other))
        assert len(ledger.asked) == 3

    async def test_an_answer_older_than_a_change_is_not_remembered(
        self, ledger: Ledger, directory, cache: KeyCache
    ):
        """The revocation is heard while the answer from before it is on its way."""
        secret = ledger.key()
        account = ledger.facts[secret_hash(secret)]["account_id"]

        def revoked_meanwhile() -> None:
            ledger.facts[secret_hash(secret)]["key_status"] = "revoked"
            ledger.position = 11
            cache.changed(2, 11, account)
            ledger.during = lambda: None

        ledger.during = revoked_meanwhile
        await directory.authenticate(bearer(secret))
        assert await status_of(directory, bearer(secret)) == 401

    async def test_a_change_elsewhere_does_not_matter(self, ledger, directory, cache: KeyCache):
        secret = ledger.key()
        cache.changed(1, 500, new_id("acct"))
        await directory.authenticate(bearer(secret))
        await directory.authenticate(bearer(secret))
        assert len(ledger.asked) == 1

    async def test_while_changes_are_not_heard_nothing_is_remembered(
        self, ledger: Ledger, directory, cache: KeyCache
    ):
        secret = ledger.key()
        await directory.authenticate(bearer(secret))
        cache.deafen()
        for _ in range(3):
            await directory.authenticate(bearer(secret))
        assert len(ledger.asked) == 4
        cache.listen()
        for _ in range(3):
            await directory.authenticate(bearer(secret))
        assert len(ledger.asked) == 5

    async def test_an_answer_asked_for_while_deaf_is_not_remembered(
        self, ledger: Ledger, directory, cache: KeyCache
    ):
        secret = ledger.key()
        cache.deafen()
        ledger.during = cache.listen
        await directory.authenticate(bearer(secret))
        ledger.during = lambda: None
        await directory.authenticate(bearer(secret))
        assert len(ledger.asked) == 2

    async def test_the_memory_has_a_limit(self, ledger: Ledger, directory):
        secrets = [ledger.key() for _ in range(4)]
        for secret in [*secrets[:3], secrets[0], secrets[3]]:
            await directory.authenticate(bearer(secret))
        assert len(ledger.asked) == 4
        await directory.authenticate(bearer(secrets[0]))  # used lately: still there
        assert len(ledger.asked) == 4
        await directory.authenticate(bearer(secrets[1]))
        assert len(ledger.asked) == 5

    async def test_a_limit_of_none_remembers_nothing(self, ledger: Ledger):
        cache = KeyCache(0)
        cache.listen()
        directory = KeyDirectory(ledger, partitions=4, remembered=cache)
        secret = ledger.key()
        await directory.authenticate(bearer(secret))
        await directory.authenticate(bearer(secret))
        assert len(ledger.asked) == 2

    async def test_expiry_is_judged_each_time(self, ledger: Ledger, directory, monkeypatch):
        secret = ledger.key(expires_at=to_text(NOW + timedelta(seconds=1)))
        await directory.authenticate(bearer(secret))
        monkeypatch.setattr(ledger, "ledger_now", lambda: NOW + timedelta(seconds=1))
        assert await status_of(directory, bearer(secret)) == 401
