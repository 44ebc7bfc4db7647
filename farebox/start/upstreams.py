"""What `farebox doctor` asks the upstreams: is the key good, the model there, the clock right.

One call of one output token for each route of each model: a small fraction of a cent.
"""

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from farebox.start.finding import Finding, failure, fine, warning
from libs.catalogue import Catalogue, Upstream

_TIMEOUT_S: Final = 30.0
_CLOCK_S: Final = 5.0
_HELLO: Final = [{"role": "user", "content": "Hi"}]
_PATHS: Final = {"openai": "/chat/completions", "anthropic": "/messages"}


def upstreams(
    catalogue: Catalogue, environment: Mapping[str, str], *, calls: bool
) -> Iterator[Finding]:
    """Look at every upstream; with `calls` each model is called for one token."""
    for upstream in catalogue.upstreams.values():
        yield _key(upstream, environment)
    if not calls:
        return
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
        skews: list[float] = []
        for upstream, model in _routes(catalogue):
            yield _one_token(client, upstream, model, environment, skews)
        for upstream in catalogue.upstreams.values():
            if upstream.shape == "http":
                yield _reach(client, upstream, skews)
    yield from _clock(skews)


def _key(upstream: Upstream, environment: Mapping[str, str]) -> Finding:
    check = f"key of {upstream.name}"
    if environment.get(upstream.key_env):
        return fine(check, f"{upstream.key_env} is set")
    fix = f"set {upstream.key_env} in .env; leave it out only if the upstream asks for none"
    return warning(check, f"{upstream.key_env} is not set: it is called without a key", fix)


def _routes(catalogue: Catalogue) -> Iterator[tuple[Upstream, str]]:
    seen = {
        (route.upstream, route.model)
        for model in catalogue.models.values()
        for route in model.routes
    }
    for name, model in sorted(seen):
        yield catalogue.upstreams[name], model


def _one_token(
    client: httpx.Client,
    upstream: Upstream,
    model: str,
    environment: Mapping[str, str],
    skews: list[float],
) -> Finding:
    check = f"{upstream.name}/{model}"
    key = environment.get(upstream.key_env, "")
    url = upstream.base_url.rstrip("/") + _PATHS[upstream.shape]
    began = time.perf_counter()
    try:
        answer = _ask(client, upstream, url, model, key)
    except httpx.HTTPError as error:
        fix = f"check upstreams.{upstream.name}.base_url, the network and the provider's status"
        return failure(check, f"{url} cannot be reached: {_why(error)}", fix)
    took = time.perf_counter() - began
    _note_clock(answer, skews)
    if not answer.is_success:
        return _refused(check, upstream, answer)
    made = _output(answer)
    if made > 1:
        detail = f"answered {made} tokens where {_cap_of(upstream)} allowed one"
        return failure(check, f"{detail}: nothing bounds what a request costs", _capping(upstream))
    return fine(check, f"answered one token in {took:.2f} s")


def _ask(
    client: httpx.Client, upstream: Upstream, url: str, model: str, key: str
) -> httpx.Response:
    body: dict[str, Any] = {"model": model, "messages": _HELLO, _cap_of(upstream): 1}
    if upstream.tier == "standard":
        body["service_tier"] = "standard_only" if upstream.shape == "anthropic" else "default"
    if upstream.shape == "anthropic":
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"} if key else {}
    else:
        headers = {"authorization": f"Bearer {key}"} if key else {}
    return client.post(url, json=body, headers=headers)


def _cap_of(upstream: Upstream) -> str:
    return "max_tokens" if upstream.shape == "anthropic" else upstream.cap_field


def _output(answer: httpx.Response) -> int:
    """The output tokens that were reported; 0: none were."""
    try:
        usage = answer.json()["usage"]
        return int(usage.get("completion_tokens") or usage.get("output_tokens") or 0)
    except (ValueError, LookupError, TypeError, AttributeError):
        return 0


def _capping(upstream: Upstream) -> str:
    """The other name of the cap may be the one that it knows."""
    if upstream.shape == "anthropic":
        return "use a server that keeps to the cap it is sent"
    other = {"max_tokens": "max_completion_tokens"}.get(upstream.cap_field, "max_tokens")
    return f'set upstreams.{upstream.name}.cap_field = "{other}"'


def _refused(check: str, upstream: Upstream, answer: httpx.Response) -> Finding:
    detail = f"answered {answer.status_code}: {_message(answer)}"
    if answer.status_code in {400, 422} and "service_tier" in answer.text:
        return failure(check, detail, f'set upstreams.{upstream.name}.tier = "project"')
    if answer.status_code in {400, 422} and _cap_of(upstream) in answer.text:
        return failure(check, detail, _capping(upstream))
    fixes = {
        401: f"the key in {upstream.key_env} is not accepted: make a new one at the provider",
        403: f"the key in {upstream.key_env} may not use this model",
        404: f"no such model or path: check the route and upstreams.{upstream.name}.base_url",
        402: "the account at the provider has no credit left",
        429: "the provider limits this key: raise its limits, or try again later",
    }
    fix = fixes.get(answer.status_code, "see the provider's status page and the message above")
    return failure(check, detail, fix)


def _message(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, LookupError, TypeError):
        text = answer.text
    return " ".join(str(text).split())[:200]


def _reach(client: httpx.Client, upstream: Upstream, skews: list[float]) -> Finding:
    """A call of an operation may do something: only its server is greeted."""
    check = f"server of {upstream.name}"
    try:
        _note_clock(client.head(upstream.base_url), skews)
    except httpx.HTTPError as error:
        fix = f"start it, or check upstreams.{upstream.name}.base_url"
        return failure(check, f"{upstream.base_url} cannot be reached: {_why(error)}", fix)
    return fine(check, f"{upstream.base_url} answers")


def _note_clock(answer: httpx.Response, skews: list[float]) -> None:
    try:
        told = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return
    skews.append(time.time() - told.timestamp())


def _clock(skews: list[float]) -> Iterator[Finding]:
    if not skews:
        return
    skew = min(skews, key=abs)
    if abs(skew) > _CLOCK_S:
        detail = f"this machine is {skew:+.0f} s off the upstreams' time"
        fix = "set up NTP (chrony, systemd-timesyncd): holds and limits follow the clock"
        yield warning("clock", detail, fix)
    else:
        yield fine("clock", f"within {_CLOCK_S:.0f} s of the upstreams' time")


def _why(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
