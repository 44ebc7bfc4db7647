"""No line of a log holds a secret, whoever wrote it and whatever it quotes."""

import json
import logging
import sys

import pytest

from libs.events.ids import new_secret
from libs.runtime.logs import JsonFormatter
from libs.runtime.redaction import HIDDEN, Redaction, secrets_in

OURS = "plain-words-as-a-password"
ENVIRONMENT = {"FAREBOX_NATS_PASSWORD": OURS, "FAREBOX_ADMIN_TOKEN": "short", "HOME": "/home/ann"}


def line(message, *arguments, error=None, **extra) -> str:
    record = logging.LogRecord("x", logging.ERROR, "", 1, message, arguments, error)
    record.__dict__.update(extra)
    return JsonFormatter("gateway", Redaction(secrets_in(ENVIRONMENT))).format(record)


@pytest.mark.parametrize(
    "secret",
    [
        new_secret(3),
        "sk-proj-abcDEF0123456789",
        "sk_live_abcDEF0123456789",
        "whsec_abcDEF0123456789",
        "Bearer eyJhbGciOiJI.x-y_z",
        OURS,
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(secret):
    try:
        raise ValueError(f"refused {secret}")
    except ValueError:
        error = sys.exc_info()
    text = line("calling with %s", secret, error=error, header=secret, nested={"k": [secret]})
    assert secret not in text
    assert json.loads(text)["message"] == f"calling with {HIDDEN}"


def test_the_password_of_an_address_is_hidden_and_the_address_is_not():
    told = json.loads(line("postgresql://ledger:hunter22@127.0.0.1:5432/farebox is away"))
    assert told["message"] == f"postgresql://{HIDDEN}@127.0.0.1:5432/farebox is away"


def test_what_is_no_secret_stays():
    said = "req_0192 of acct_77 to north/sk-1: key_5 at /home/ann, short, desk-organizer-number-12"
    assert json.loads(line(said))["message"] == said
