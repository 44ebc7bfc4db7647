"""`farebox import litellm`: a LiteLLM proxy's config.yaml as a farebox.toml.

What cannot be carried is named, never dropped in silence: a price that is missing there is not
guessed here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import yaml

from libs.catalogue import CatalogueError, parse

_SPOKEN: Final[Mapping[str, tuple[str, str | None]]] = {
    # LiteLLM's provider: our shape, and where it is when the file does not say.
    "openai": ("openai", "https://api.openai.com/v1"),
    "anthropic": ("anthropic", "https://api.anthropic.com/v1"),
    "hosted_vllm": ("openai", None),
    "openai_like": ("openai", None),
    "deepseek": ("openai", "https://api.deepseek.com/v1"),
    "groq": ("openai", "https://api.groq.com/openai/v1"),
    "mistral": ("openai", "https://api.mistral.ai/v1"),
    "openrouter": ("openai", "https://openrouter.ai/api/v1"),
    "together_ai": ("openai", "https://api.together.xyz/v1"),
    "xai": ("openai", "https://api.x.ai/v1"),
}
_OLDER_CAP: Final = frozenset({"hosted_vllm", "openai_like", "deepseek", "mistral", "together_ai"})
"""Those that surely know `max_tokens`, and may ignore or refuse its newer name."""
_TIERED: Final = tuple(_SPOKEN[name][1] for name in ("openai", "anthropic"))
"""Where a request that names no service tier may be served in a dearer one."""
_READ_PARAMS: Final = frozenset(
    {"model", "api_base", "api_key", "input_cost_per_token", "output_cost_per_token", "max_tokens"}
)
_COSTS: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "output_cost_per_token": "output",
}
_READ_INFO: Final = frozenset({*_COSTS, "max_input_tokens", "max_output_tokens", "id"})
_MAX_INPUT: Final = 2_000_000
_MAX_OUTPUT: Final = 128_000


class ImportRefused(Exception):
    """The file is no LiteLLM configuration; the message says why."""


@dataclass
class Carried:
    """What came of a file: the farebox.toml, what to put into .env, and what is left out."""

    text: str = ""
    models: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """Our variable, and where LiteLLM takes the key from."""
    left: list[str] = field(default_factory=list)


@dataclass
class _Upstream:
    name: str
    shape: str
    base_url: str
    older_cap: bool = False
    prices: dict[str, dict[str, str | int]] = field(default_factory=dict)


def convert(file: Path) -> Carried:
    """Read a config.yaml. Raises ImportRefused when it cannot be read as one."""
    config = _read(file)
    carried = Carried()
    upstreams: dict[tuple[str, ...], _Upstream] = {}
    routes: dict[str, list[str]] = {}
    caps: dict[str, int] = {}
    for index, entry in enumerate(config["model_list"]):
        _carry_model(f"model_list[{index}]", entry, carried, upstreams, routes, caps)
    carried.left.extend(_settings_left(config))
    carried.models = list(routes)
    if routes:
        carried.text = _toml(upstreams, routes, caps, _margin_bps(config))
        _check(carried)
    return carried


def _read(file: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ImportRefused(f"{file} is not YAML: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_list"), list):
        raise ImportRefused(f"{file} has no model_list: is it the proxy's config.yaml?")
    return config


def _carry_model(
    where: str,
    entry: Any,
    carried: Carried,
    upstreams: dict[tuple[str, ...], _Upstream],
    routes: dict[str, list[str]],
    caps: dict[str, int],
) -> None:
    try:
        name, params, info = _parts(entry)
        provider, _, model = str(params["model"]).partition("/")
        if not model:
            provider, model = "openai", provider
        shape, base_url = _place(provider, params)
        prices = _prices(params, info)
    except _NotCarriedError as error:
        carried.left.append(f"{where}: {error}")
        return
    upstream = _upstream(provider, shape, base_url, params, carried, upstreams)
    upstream.prices[model] = prices
    route = f"{upstream.name}/{model}"
    if route not in routes.setdefault(name, []):
        routes[name].append(route)
    if isinstance(params.get("max_tokens"), int):
        caps[name] = params["max_tokens"]
    for key in sorted(params.keys() - _READ_PARAMS):
        carried.left.append(f"{where}.litellm_params.{key}")
    for key in sorted(info.keys() - _READ_INFO):
        carried.left.append(f"{where}.model_info.{key}")


class _NotCarriedError(Exception):
    pass


def _parts(entry: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    if not isinstance(entry, dict):
        raise _NotCarriedError("is no table")
    name, params = entry.get("model_name"), entry.get("litellm_params")
    if not isinstance(name, str) or not isinstance(params, dict) or "model" not in params:
        raise _NotCarriedError("has no model_name or no litellm_params.model")
    if "*" in name or "*" in str(params["model"]):
        raise _NotCarriedError(f'"{name}" is a pattern; every model sold has a price of its own')
    info = entry.get("model_info")
    return name, params, info if isinstance(info, dict) else {}


def _place(provider: str, params: Mapping[str, Any]) -> tuple[str, str]:
    if provider not in _SPOKEN:
        raise _NotCarriedError(
            f'provider "{provider}" is not spoken; Farebox speaks {", ".join(_SPOKEN)}'
        )
    shape, usual = _SPOKEN[provider]
    base_url = params.get("api_base") or usual
    if not isinstance(base_url, str):
        raise _NotCarriedError("has no api_base")
    return shape, base_url.rstrip("/")


def _prices(params: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for key, ours in _COSTS.items():
        cost = params.get(key, info.get(key))
        if cost is not None:
            found[ours] = _per_million(key, cost)
    if "input" not in found or "output" not in found:
        raise _NotCarriedError(
            f'"{params["model"]}" has no input_cost_per_token and output_cost_per_token; '
            "write its price, nothing is sold without one"
        )
    found["max_input"] = _limit(info.get("max_input_tokens"), _MAX_INPUT)
    found["max_output"] = _limit(info.get("max_output_tokens"), _MAX_OUTPUT)
    return found


def _per_million(key: str, cost: Any) -> str:
    """Dollars a token, which YAML may give as a float, as exact dollars a million tokens."""
    try:
        price = Decimal(str(cost)) * 1_000_000
    except InvalidOperation:
        raise _NotCarriedError(f"{key} is not a number: {cost!r}") from None
    if not price.is_finite() or price < 0 or price != round(price, 6):
        raise _NotCarriedError(f"{key} is not a price of at most 6 decimals a million: {cost!r}")
    return f"{price.normalize():f}"


def _limit(value: Any, usual: int) -> int:
    return value if type(value) is int and value > 0 else usual


def _upstream(
    provider: str,
    shape: str,
    base_url: str,
    params: Mapping[str, Any],
    carried: Carried,
    upstreams: dict[tuple[str, ...], _Upstream],
) -> _Upstream:
    """The upstream of one provider, address and key; named after the provider."""
    key = str(params.get("api_key") or "")
    place = (provider, base_url, key)
    if place not in upstreams:
        base = re.sub(r"[^a-z0-9]+", "-", provider)
        taken = {upstream.name for upstream in upstreams.values()}
        name = next(n for n in _names(base) if n not in taken)
        upstreams[place] = _Upstream(name, shape, base_url, older_cap=provider in _OLDER_CAP)
        carried.keys[_variable(name)] = _origin(key)
    return upstreams[place]


def _names(base: str) -> Iterator[str]:
    yield base
    number = 2
    while True:
        yield f"{base}-{number}"
        number += 1


def _variable(name: str) -> str:
    return f"FAREBOX_UPSTREAM_{name.upper().replace('-', '_')}_KEY"


def _origin(key: str) -> str:
    if key.startswith("os.environ/"):
        return key.removeprefix("os.environ/")
    return "the key written in config.yaml" if key else "nothing: it is called without a key"


def _margin_bps(config: Mapping[str, Any]) -> int:
    settings = config.get("litellm_settings")
    margins = settings.get("cost_margin_config") if isinstance(settings, dict) else None
    share = margins.get("global") if isinstance(margins, dict) else None
    if isinstance(share, int | float) and 0 <= share <= 10:
        return round(Decimal(str(share)) * 10_000)
    return 1000


def _settings_left(config: Mapping[str, Any]) -> Iterator[str]:
    for section, values in config.items():
        if section == "model_list":
            continue
        if not isinstance(values, dict):
            yield section
            continue
        for key, value in values.items():
            if (section, key) == ("litellm_settings", "cost_margin_config"):
                named = value if isinstance(value, dict) else {}
                yield from (f"{section}.{key}.{name}" for name in named if name != "global")
            else:
                yield f"{section}.{key}"


def _toml(
    upstreams: Mapping[tuple[str, ...], _Upstream],
    routes: Mapping[str, list[str]],
    caps: Mapping[str, int],
    margin_bps: int,
) -> str:
    lines = ["# From LiteLLM's config.yaml. Every key: docs/reference/settings.md."]
    lines += ["[catalogue]", 'currency = "USD"', ""]
    for upstream in upstreams.values():
        lines += [
            f"[upstreams.{upstream.name}]",
            f"shape = {_quoted(upstream.shape)}",
            f"base_url = {_quoted(upstream.base_url)}",
            f"key_env = {_quoted(_variable(upstream.name))}",
        ]
        if upstream.base_url in _TIERED:
            lines.append('tier = "standard"')
        if upstream.older_cap:
            lines.append('cap_field = "max_tokens"')
        lines += [
            f"prices.{_quoted(model)} = {{ {_inline(prices)} }}"
            for model, prices in upstream.prices.items()
        ]
        lines.append("")
    for name, listed in routes.items():
        lines += [f"[models.{_quoted(name)}]", f"routes = [{', '.join(map(_quoted, listed))}]"]
        if name in caps:
            lines.append(f"default_max_output = {caps[name]}")
        lines.append("")
    sold = ", ".join(map(_quoted, routes))
    lines += ["[plans.payg]", 'unit = "USD"', f"margin_bps = {margin_bps}", f"sells = [{sold}]"]
    lines += ['packs = ["usd-10"]', "", "[packs]"]
    lines.append('usd-10 = { unit = "USD", gives = "10.00", price = { USD = "10.00" } }')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _inline(values: Mapping[str, str | int]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())


def _check(carried: Carried) -> None:
    """What is written must be a catalogue; what still is wrong is named for a person to mend."""
    try:
        parse(carried.text)
    except CatalogueError as error:
        carried.left.extend(f"to mend in the farebox.toml: {line}" for line in error.errors)
