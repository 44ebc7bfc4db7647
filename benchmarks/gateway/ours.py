"""Farebox under load: a whole installation, one gateway worker, an account that can pay."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from benchmarks.gateway.peers import Side
from farebox.installation import Installation

_CONFIG: Final = """
[catalogue]
currency = "USD"
[upstreams.north]
shape = "openai"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "FAREBOX_UPSTREAM_NORTH_KEY"
prices."swift-1" = {{ input = "0.25", output = "2.00", max_input = 400_000, max_output = 32_000 }}
[models."swift-1"]
routes = ["north/swift-1"]
[plans.payg]
unit = "USD"
sells = ["swift-1"]
limits = {{ requests = 1_000_000, per = "1s", concurrent = 10_000 }}
[ledger]
partitions = 1
[gateway]
workers = 1
"""
_CREDIT: Final = "1000000"


@contextmanager
def farebox(
    stub_port: int, folder: Path, upstream_key: str = "sk-stub"
) -> Iterator[tuple[Side, "Books"]]:
    """Every process that `farebox up` runs; each request is really held and settled."""
    config = folder / "farebox.toml"
    config.write_text(_CONFIG.format(port=stub_port))
    ports = {"gateway": 0, "admin": 0, "payments": 0}
    env = {"gateway": {"FAREBOX_UPSTREAM_NORTH_KEY": upstream_key}}
    with Installation(folder / "farebox", config, ports=ports, env=env) as installation:
        books = Books(installation)
        headers = {"authorization": f"Bearer {books.open()}"}
        unit, names = installation.supervisor.unit, ("ledger", "reader")
        beside = {name: unit(name).pid or 0 for name in names}
        beside |= {
            "postgres": installation.stack.postgres.pid,
            "nats": installation.stack.nats.pid,
        }
        port = int(installation.url("gateway").rpartition(":")[2])
        own = {"gateway": unit("gateway").pid or 0}
        yield Side("farebox", "", port, headers, cpu=own, beside=beside), books


class Books:
    """What the ledger says of the account under load."""

    def __init__(self, installation: Installation) -> None:
        self._url = f"{installation.url('admin')}/admin/v1/accounts"
        self._headers = {"authorization": f"Bearer {installation.admin_token}"}
        self._account = ""

    def open(self) -> str:
        """Open, key and fill the account; return the key."""
        self._account = self._post("", {"plan": "payg"}, "open")["account_id"]
        grant = {"amount": _CREDIT, "reason_code": "bench"}
        self._post(f"/{self._account}/grants", grant, "grant")
        secret: str = self._post(f"/{self._account}/keys", {"purpose": "inference"}, "key")[
            "secret"
        ]
        return secret

    def total(self) -> str:
        """The account's total, and that nothing is left open."""
        answer = httpx.get(f"{self._url}/{self._account}", headers=self._headers)
        facts = answer.raise_for_status().json()
        if facts["reserved"] not in {"0.00", "0"}:
            raise RuntimeError(f"holds are left open: {facts['reserved']}")
        return str(facts["total"])

    def _post(self, path: str, body: dict[str, str], key: str) -> dict[str, str]:
        headers = {**self._headers, "idempotency-key": f"bench-{key}"}
        answer = httpx.post(f"{self._url}{path}", json=body, headers=headers, timeout=30)
        made: dict[str, str] = answer.raise_for_status().json()
        return made
