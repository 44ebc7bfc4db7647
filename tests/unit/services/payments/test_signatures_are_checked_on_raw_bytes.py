import time

import pytest

from services.payments.settings import PaymentsSettings
from services.payments.stripe_reading import delivered
from services.payments.webhooks import signed
from simulators.stripe.webhooks import sign

BODY = b'{"object": "event",  "id": "evt_1"}'


def test_either_secret_counts_while_it_is_rotated():
    header = sign(BODY.decode(), "whsec_old")
    assert signed(BODY, header, ("whsec_new", "whsec_old"))
    assert not signed(BODY, header, ("whsec_new",))
    assert not signed(BODY, header, ())


def test_the_same_json_in_other_bytes_is_refused():
    header = sign(BODY.decode(), "whsec_1")
    assert not signed(BODY.replace(b"  ", b" "), header, ("whsec_1",))


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=abc", "t=x,v1=abc", "nonsense", "t=1,v1=\u00e9", ","]
)
def test_nonsense_headers_are_refused(header):
    assert not signed(BODY, header, ("whsec_1",))


def test_old_signatures_and_other_encodings_are_refused():
    old = sign(BODY.decode(), "whsec_1", int(time.time()) - 301)
    assert not signed(BODY, old, ("whsec_1",))
    assert not signed(b"\xff\xfe", sign("x", "whsec_1"), ("whsec_1",))


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'{"object": "v2.core.event"}',
        b'{"object": "event", "id": "evt_1"}',
        b'{"object":"event","id":"e","type":"t","created":1,"livemode":false,"data":{"object":[]}}',
        b'{"object":"event","id":"e","type":"t","created":1e400,"livemode":false,"data":{"object":{}}}',
    ],
)
def test_a_signed_body_that_is_no_event_is_a_value_error(body):
    with pytest.raises(ValueError):
        delivered(body)


def test_secrets_are_read_with_a_comma():
    settings = PaymentsSettings(stripe_webhook_secret="whsec_new, whsec_old,")
    assert settings.webhook_secrets == ("whsec_new", "whsec_old")
    assert PaymentsSettings().webhook_secrets == ()


@pytest.mark.parametrize(
    ("key", "live"), [("sk_live_x", True), ("rk_live_x", True), ("sk_test_live_", False)]
)
def test_live_keys_are_known(key, live):
    assert PaymentsSettings(stripe_api_key=key).livemode is live
