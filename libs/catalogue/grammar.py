"""The whole grammar of farebox.toml, one table for each section.

A key marked `later` belongs to the grammar, but what it asks for is not built in this version: it
is refused by its name. docs/reference/settings.md is written from this module.
"""

from libs.catalogue.price_grammar import PRICE, RETAIL, TOKENS
from libs.catalogue.readers import (
    Amount,
    Choice,
    Duration,
    KeyEnv,
    Listen,
    Ratio,
    Size,
    Text,
    Url,
    Whole,
)
from libs.catalogue.tables import Key, ListOf, MapOf, Table

UNIT = Text(r"[A-Z]{3}|CREDIT", "a unit", "USD")
CURRENCY = Text(r"[A-Z]{3}", "a currency", "USD")

_NAME = r"[a-z0-9][a-z0-9-]{0,62}"
_MODEL = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"
_NAME_SAY = "use lower-case letters, digits and -, at most 63"
_MODEL_SAY = "use letters, digits and . _ : / @ -, at most 128"

_name = Text(_NAME, "a name", "north")
_item = Text(_MODEL, "the name of a model or operation", "swift-1")
_route = Text(_NAME + "/" + _MODEL, "a route", "north/swift-1")
_path = Text(
    r"(/(?!\.{1,2}(/|$))([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]{0,31}\}))+", "a path", "/v1/score-image"
)
_success = Text(r"[2-5]xx|[2-5][0-9][0-9]", "an HTTP status or class", "2xx")
_timeout = Duration(1, 3_600_000)


def _later(means: str) -> Key:
    return Key(None, means, default=None, later=True)


CATALOGUE = Table(
    {
        "currency": Key(CURRENCY, "Currency of every upstream price.", example='"USD"'),
        "conversion": Key(
            MapOf(UNIT.pattern, Ratio(), 'use a unit, like "EUR" or "CREDIT"'),
            "From a cost in the currency to other units: cost x numerator / denominator. "
            "`cost_plus` in another unit needs it.",
            {},
        ),
        "price_book": Key(
            Text(r"[A-Za-z0-9._/-]{1,255}", "a file name", "prices.json"),
            "File of `farebox prices import`, beside this one; read when an upstream names it.",
            "prices.json",
        ),
    }
)

_TIMEOUTS = Table(
    {
        "connect": Key(_timeout, "To connect.", "5s"),
        "first_byte": Key(_timeout, "From the request to a stream's first byte.", "120s"),
        "idle": Key(_timeout, "Between two bytes.", "120s"),
    }
)

UPSTREAM = Table(
    {
        "shape": Key(
            Choice(("openai", "anthropic", "http")),
            "What the upstream speaks.",
            example='"openai"',
        ),
        "base_url": Key(
            Url(), "Address in front of every path.", example='"https://host.example/v1"'
        ),
        "key_env": Key(
            KeyEnv(),
            "Environment variable with the upstream's key.",
            example='"FAREBOX_UPSTREAM_NORTH_KEY"',
        ),
        "timeouts": Key(_TIMEOUTS, "How long to wait for the upstream.", {}),
        "tier": Key(
            Choice(("project", "standard")),
            "The service tier of a request that names none: `standard` asks for the one that has "
            "the price of the book (`default`, of Anthropic `standard_only`), `project` leaves it "
            "to your settings at the provider, and suits servers that do not know the field.",
            "project",
        ),
        "cap_field": Key(
            Choice(("max_completion_tokens", "max_tokens")),
            "The field by which the upstream caps the output of a chat completion. One that it "
            "does not know it may ignore, and then nothing bounds what a request costs; "
            "`farebox doctor` finds that. Ollama knows `max_tokens` alone.",
            "max_completion_tokens",
        ),
        "price_book": Key(
            _name,
            "Provider of the price book whose prices and limits hold for its models; what "
            "`prices` says wins, key by key.",
            None,
        ),
        "prices": Key(
            MapOf(_MODEL, PRICE, _MODEL_SAY),
            "What the upstream charges, for each model; without any rate the cost is not known, "
            "and only rule `retail` can sell it.",
            {},
        ),
    }
)

MODEL = Table(
    {
        "rule": Key(
            Choice(("cost_plus", "retail")),
            "How the charge is found: upstream cost and the plan's margin, or own prices.",
            "cost_plus",
        ),
        "routes": Key(
            ListOf(_route, least=1, most=8),
            "Upstreams and their models, `upstream/model`, in the order they are tried; the "
            "dearest is reserved.",
            example='["north/swift-1"]',
        ),
        "weights": Key(
            ListOf(Whole(0, 1_000), repeats=True),
            "One whole number for each route: the first try is shared out by them. None: the "
            "first route that works.",
            None,
        ),
        "default_max_output": Key(
            TOKENS, "Output cap sent upstream when the client gives none, tokens.", 4096
        ),
        "retail": Key(
            MapOf(UNIT.pattern, RETAIL, 'use a unit, like "USD" or "CREDIT"', word="unit"),
            "Own prices of rule `retail`, for each unit it is sold in; no margin is added.",
            None,
        ),
        "on_disconnect": Key(
            Choice(("drain", "cancel")),
            "When the client of a stream leaves: read on to the usage and charge it, or break off "
            "and charge the estimate.",
            "drain",
        ),
    }
)

_ROUTE = Table(
    {
        "method": Key(
            Choice(("POST", "PUT", "PATCH", "GET", "DELETE")), "Method of both sides.", "POST"
        ),
        "path": Key(
            _path,
            "Path that customers call; a part like `{id}` stands for one of their own.",
            example='"/v1/score-image"',
        ),
        "upstream": Key(_name, "Name of the upstream.", example='"scorer"'),
        "upstream_path": Key(
            _path, "Path below its base_url; it may use the parts of `path`.", example='"/score"'
        ),
    }
)

_FEE = Table(
    {
        "currency": Key(
            CURRENCY, "Currency of the fee; it need not be the account's unit.", example='"USD"'
        ),
        "amount": Key(Amount(places=2), "Fee of one call, at most two decimals.", example='"0.01"'),
        "schedule": Key(
            Text(r"[a-z0-9][a-z0-9-]{0,63}", "a name", "fidelity-1"),
            "Name of the agreement that the fee follows; it stands with every fee.",
            example='"fidelity-1"',
        ),
    }
)

OPERATION = Table(
    {
        "route": Key(
            _ROUTE,
            "Where calls come in and where they go; none: only services reserve it "
            "(/billing/v1/reservations).",
            None,
            example='{ path = "/v1/score-image", upstream = "scorer", upstream_path = "/score" }',
        ),
        "price": Key(
            MapOf(UNIT.pattern, Amount(), 'use a unit, like "USD" or "CREDIT"'),
            "Price of one call, for each unit it is sold in.",
            example='{ CREDIT = "1" }',
        ),
        "success": Key(
            ListOf(_success, unordered=True, least=1),
            "Answers that are charged; any other, or none in time, gives the price back.",
            ["2xx"],
        ),
        "timeout": Key(_timeout, "How long one call may take.", "60s"),
        "unsettled": Key(
            Choice(("release", "charge")),
            "What a call that nobody settled does at its deadline: give the price back, or charge "
            "what it last reported as used.",
            "release",
        ),
        "fee": Key(
            _FEE, "A fee for each call, kept in its own ledger, never in the balance.", None
        ),
        "attached_cost_ceiling": Key(
            Amount(),
            "Most that the upstream calls attached to one reservation may cost the operator, in "
            "the catalogue's currency; none: no call may be attached.",
            None,
            example='"0.25"',
        ),
    }
)

_LIMITS = Table(
    {
        "requests": Key(
            Whole(1, 1_000_000), "Requests of an account in `per`; as many may come at once.", 10
        ),
        "per": Key(Duration(1_000, 86_400_000), "Time in which `requests` are given anew.", "60s"),
        "concurrent": Key(
            Whole(1, 100_000), "Paid requests of an account that may be under way at once.", 8
        ),
    }
)

PLAN = Table(
    {
        "unit": Key(UNIT, "Unit of its accounts.", example='"USD"'),
        "margin_bps": Key(
            Whole(0, 100_000), "Added to upstream cost, hundredths of a percent.", 1000
        ),
        "sells": Key(
            ListOf(_item, unordered=True),
            "Models and operations it sells; all else is unknown to its accounts.",
            example='["swift-1"]',
        ),
        "packs": Key(ListOf(_name), "Packs its accounts can buy.", []),
        "recharge_pack": Key(_name, "Pack that auto-recharge buys; CREDIT plans only.", None),
        "limits": Key(_LIMITS, "How fast its accounts may call.", {}),
        "initial": Key(
            Amount(), "Granted once, when an account is opened, in the plan's unit.", None
        ),
        "included": _later("Granted on each paid invoice of a subscription."),
    }
)

PACK = Table(
    {
        "unit": Key(UNIT, "Unit of what it gives.", example='"USD"'),
        "gives": Key(Amount(), "What the account gets, in `unit`.", example='"10.00"'),
        "price": Key(
            MapOf(CURRENCY.pattern, Amount(), 'use a currency, like "USD"'),
            "What is charged, for each currency offered.",
            example='{ USD = "10.00" }',
        ),
        "shelf_months": Key(Whole(1, 120), "Months until it expires; none: never.", None),
    }
)

LEDGER = Table({"partitions": Key(Whole(1, 1024), "Partitions; fixed at installation.", 4)})

GATEWAY = Table(
    {
        "listen": Key(Listen(), "Public API.", "127.0.0.1:8402"),
        "admin_listen": Key(Listen(), "Operator's API.", "127.0.0.1:8403"),
        "workers": Key(Whole(1, 256), "Gateway processes.", 2),
        "body_max": Key(Size(1024, 1024**3), "Largest request body.", "8MiB"),
        "public_url": Key(Url(), "Public address, when a proxy stands before it.", None),
    }
)

PAYMENTS = Table(
    {
        "listen": Key(Listen(), "Webhooks and return page.", "127.0.0.1:8404"),
        "public_url": Key(Url(), "Public address, when a proxy stands before it.", None),
    }
)

RECHARGE = Table(
    {
        "sweep": Key(
            Duration(1_000, 86_400_000, 1_000), "Time between two looks at all accounts.", "60s"
        )
    }
)

FILE = Table(
    {
        "catalogue": Key(CATALOGUE, "Terms that hold for every price.", {}),
        "upstreams": Key(MapOf(_NAME, UPSTREAM, _NAME_SAY), "Who does the work.", {}),
        "models": Key(
            MapOf(_MODEL, MODEL, _MODEL_SAY), "Models, by the name that customers send.", {}
        ),
        "operations": Key(
            MapOf(_NAME, OPERATION, _NAME_SAY), "Endpoints sold at a fixed price a call.", {}
        ),
        "plans": Key(MapOf(_NAME, PLAN, _NAME_SAY), "What accounts may buy.", {}),
        "packs": Key(MapOf(_NAME, PACK, _NAME_SAY), "What can be bought by card.", {}),
        "ledger": Key(LEDGER, "The ledger.", {}),
        "gateway": Key(GATEWAY, "The gateway.", {}),
        "payments": Key(PAYMENTS, "Payments.", {}),
        "recharge": Key(RECHARGE, "Auto-recharge.", {}),
    }
)
