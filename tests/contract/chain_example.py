"""Ten events of one account, as the ledger would chain them: what chain.jsonl is made of."""

from typing import Any

from libs.events.chain import GENESIS, body_hash
from libs.events.codec import canonical
from tests.contract import examples as ex

SECOND = "req_01a1fa0000027000800000000000c004"


def _step(
    type_name: str, command_id: str, balances: tuple[int, int] | None, **changes: Any
) -> dict[str, Any]:
    data = ex.EVENTS[type_name] | changes
    if balances is not None:
        data |= {"available": str(balances[0]), "reserved": str(balances[1])}
    return ex.event(type_name) | {"command_id": command_id, "data": data}


def _bodies() -> list[dict[str, Any]]:
    hold = {"amount": "2000000000", "from": [[1, "2000000000"]]}
    return [
        _step("AccountOpened", ex.ACCOUNT, None),
        _step("KeyIssued", ex.KEY, None, rotates=None, old_expires_at=None, lineage=ex.KEY),
        _step("CreditsGranted", "topup:pi_1", (10_000_000_000, 0)),
        _step("RechargeConfigured", "recharge-1", None, threshold="9000000000", basis="available"),
        _step("CreditsReserved", ex.RES, (8_000_000_000, 2_000_000_000), **hold),
        _step("BalanceFellBelowThreshold", ex.RES, None, threshold="9000000000"),
        _step(
            "CreditsCharged",
            ex.RES,
            (9_500_000_000, 0),
            reserved_was="2000000000",
            charge="500000000",
            margin="45454546",
            taken=[[1, "500000000"]],
            returned=[[1, "1500000000"]],
            extra="0",
            loss="0",
            loss_kind=None,
            fee=None,
        ),
        _step("CreditsReserved", SECOND, (7_500_000_000, 2_000_000_000), **hold, res=SECOND),
        _step(
            "CreditsReleased",
            SECOND,
            (9_500_000_000, 0),
            amount="2000000000",
            returned=[[1, "2000000000"]],
            res=SECOND,
        ),
        _step("KeyRevoked", f"revoke:{ex.KEY}", None),
    ]


def chain() -> list[bytes]:
    """The ten bodies as they are stored, each naming the hash of the one before."""
    raws: list[bytes] = []
    prev = GENESIS
    for number, body in enumerate(_bodies(), start=1):
        stamp = f"2026-11-20T19:10:{number:02d}.000123Z"
        place = {"version": number, "position": 100 + number, "occurred_at": stamp, "prev": prev}
        raw = canonical(body | place)
        raws.append(raw)
        prev = body_hash(raw).hex()
    return raws
