"""The files that `farebox init` writes: a commented farebox.toml and the .env for its secrets."""

from typing import Final

from farebox.start.answers import Answers, Provider

_HEAD: Final = """\
# farebox.toml: what is sold, at which price, through which upstream. Amounts are strings, ratios
# integers; secrets stand in .env beside this file. Every key: docs/reference/settings.md.
[catalogue]
currency = "USD"                      # of every upstream price below; token prices are per million

[upstreams.{name}]
shape = "{shape}"
base_url = "{base_url}"
key_env = "{key_env}"      # the variable, in .env, that holds the key
"""
_STANDARD: Final = """\
tier = "standard"                     # the service tier that has the prices below
"""
_OLDER_CAP: Final = """\
cap_field = "max_tokens"              # what caps the output: a newer name it may ignore
"""
_BOUGHT: Final = """\
# What {name} charges you. max_input and max_output bound what a request can cost: take them from
# the provider's page. Too large is safe, too small is not.
[upstreams.{name}.prices."{item}"]
input = "{input}"
output = "{output}"
max_input = 2_000_000
max_output = 128_000
"""
_OWN: Final = """\
# The model runs on your own machines: its limits stand here, its price below. max_input must not be
# smaller than the context window the server really runs with.
[upstreams.{name}.prices."{item}"]
max_input = 2_000_000
max_output = 128_000
"""
_COST_PLUS: Final = """\
rule = "cost_plus"                    # what the upstream charges, and the plan's margin
"""
_RETAIL: Final = """\
rule = "retail"                       # your own prices, per million tokens
retail = {{ USD = {{ input = "{input}", output = "{output}" }} }}
"""
_MODEL: Final = """
[models."{item}"]                     # the name your customers send
%sroutes = ["{name}/{item}"]            # upstream and the name it knows the model by
default_max_output = 4096             # output cap sent upstream when the client gives none
"""
_CALL: Final = """
[operations.{operation}]
route = {{ method = "POST", path = "{item}", upstream = "{name}", upstream_path = "{item}" }}
price = {{ USD = "{input}" }}           # of one call
success = ["2xx"]                     # anything else, or no answer in time, gives the price back
timeout = "60s"
"""
_PLAN: Final = """
[plans.payg]                          # accounts are opened on a plan
unit = "USD"
{margin}sells = ["{sold}"]
packs = ["{pack_name}"]

[packs]                               # gives: credits, in `unit`; price: what Stripe charges
{pack_name} = {{ unit = "USD", gives = "{pack}", price = {{ USD = "{pack}" }}, shelf_months = 12 }}

[ledger]
partitions = 4                        # fixed once `farebox up` has run
[gateway]
listen = "127.0.0.1:8402"             # the API your customers call; put TLS in front of it
admin_listen = "127.0.0.1:8403"
workers = 2
[payments]
listen = "127.0.0.1:8404"             # Stripe's webhooks and the page after a purchase
"""
_ENV: Final = """\
# Secrets of this installation: `farebox up` and `farebox doctor` read this file; a variable that is
# already set wins. Keep it out of version control.
{key_env}={key}
# From https://dashboard.stripe.com: without them everything runs, but nobody can buy credits.
FAREBOX_STRIPE_API_KEY=
FAREBOX_STRIPE_WEBHOOK_SECRET=
"""


def config_text(answers: Answers) -> str:
    """The farebox.toml of these answers."""
    provider = answers.provider
    # One that is only like it may not know the field.
    itself = provider.tiers and answers.base_url == provider.base_url
    text = _HEAD + (_STANDARD if itself else "") + _sold(provider) + _PLAN
    operation = answers.item.strip("/").replace("/", "-").replace(".", "-").replace("_", "-")
    pack_name = f"usd-{answers.pack.replace('.', '-')}"
    return text.format(
        name=provider.name,
        shape=provider.shape,
        base_url=answers.base_url,
        key_env=provider.key_env,
        item=answers.item,
        operation=operation.lower(),
        sold=operation.lower() if provider.shape == "http" else answers.item,
        input=answers.prices[0],
        output=answers.prices[1],
        margin=_margin(answers),
        pack=answers.pack,
        pack_name=pack_name,
    )


def _margin(answers: Answers) -> str:
    """Own prices hold what is to be earned: no margin is added to them."""
    if answers.provider.own or answers.provider.shape == "http":
        return ""
    percent = f"{answers.margin_bps / 100:g}"
    return f"margin_bps = {answers.margin_bps:<26}# {percent} % over cost\n"


def _sold(provider: Provider) -> str:
    if provider.shape == "http":
        return _CALL
    if provider.own:
        return _OLDER_CAP + _OWN + _MODEL % _RETAIL
    return _BOUGHT + _MODEL % _COST_PLUS


def env_text(answers: Answers, key: str = "") -> str:
    """The .env of these answers; secrets that are not known yet are left empty."""
    return _ENV.format(key_env=answers.provider.key_env, key=key)
