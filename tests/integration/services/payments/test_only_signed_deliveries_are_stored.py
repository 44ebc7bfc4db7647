import json

import pytest

from simulators.stripe.webhooks import sign
from tests.integration.services.payments.conftest import SECRET

BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1_790_000_000,
        "livemode": False,
        "api_version": "2026-10-28.endive",
        "data": {"object": {"id": "pi_1", "note": "é"}},
    },
    ensure_ascii=False,
)


async def stored(world):
    return await world.pool.fetchval("select count(*) from payments.inbox")


async def deliver(world, header, body=BODY):
    headers = {"stripe-signature": header} if header is not None else {}
    return await world.post("/webhooks/stripe", body.encode(), headers)


@pytest.mark.requirement("PAY-2")
async def test_a_wrong_signature_is_400_and_nothing_is_stored(world):
    good = sign(BODY, SECRET)
    for header, body in (
        (None, BODY),
        ("", BODY),
        (sign(BODY, "whsec_wrong"), BODY),
        (good, BODY + " "),
        (good.replace("v1=", "v0="), BODY),
        (sign(BODY, SECRET, 1_790_000_000), BODY),
    ):
        answer = await deliver(world, header, body)
        assert answer.status_code == 400
    assert await stored(world) == 0


@pytest.mark.parametrize("secret", [SECRET, "whsec_new"])
async def test_both_secrets_of_a_rotation_are_taken(world, secret):
    assert (await deliver(world, sign(BODY, secret))).status_code == 200
    row = await world.pool.fetchrow("select * from payments.inbox")
    assert row["payload"] == BODY.encode()
    assert (row["event_id"], row["object_id"], row["source"]) == ("evt_1", "pi_1", "webhook")


async def test_a_repeat_is_200_and_stored_once(world):
    for _ in range(3):
        assert (await deliver(world, sign(BODY, SECRET))).status_code == 200
    assert await stored(world) == 1


async def test_signed_nonsense_is_400(world):
    event = json.loads(BODY)
    odd = [
        event | {"id": "evt_\0"},
        event | {"type": ["x"]},
        event | {"created": 10**18},
        event | {"api_version": 7},
        event | {"data": {"object": {"id": ["x"]}}},
    ]
    surrogate = BODY.replace("evt_1", "evt_\\ud800")
    bodies = ("[]", "nothing", '{"object": "event"}', "[" * 50_000, surrogate)
    for body in (*bodies, *(json.dumps(event) for event in odd)):
        assert (await deliver(world, sign(body, SECRET), body)).status_code == 400
    assert await stored(world) == 0


async def test_a_huge_body_is_refused(world):
    body = "x" * (1024 * 1024 + 1)
    assert (await deliver(world, sign(body, SECRET), body)).status_code == 400


async def test_other_methods_and_paths_are_refused(world):
    assert (await world.get("/webhooks/stripe")).status_code == 405
    assert (await world.get("/")).status_code == 404
