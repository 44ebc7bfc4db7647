"""`farebox init`: five questions, and a shop that can be opened."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from farebox.start.answers import (
    PROVIDERS,
    Answers,
    Provider,
    margin_of,
    model_of,
    pack_of,
    path_of,
    price_of,
    prices_of,
    provider_of,
    url_of,
)
from farebox.start.template import config_text, env_text
from libs.catalogue import CatalogueError, parse

T = TypeVar("T")

CONFIG: Final = "farebox.toml"
ENV: Final = ".env"
_PACK: Final = "10.00"


class InitError(Exception):
    """Nothing was written; the message names what to do."""


def ask(given: Mapping[str, str | None], *, interactive: bool) -> Answers:
    """Complete the answers that were given as options by questions.

    Raises InitError when an answer is wrong, or missing where nobody can be asked.
    """

    def answer(name: str, question: str, read: Callable[[str], T], default: str | None = None) -> T:
        return _answer(given, name, question, read, default, interactive=interactive)

    provider = answer("provider", _provider_question(), provider_of, "openai")
    base_url = answer("base_url", "Where is it", url_of, provider.base_url)
    item, prices = _sold(provider, answer)
    own_prices = provider.own or provider.shape == "http"
    margin_bps = (
        0 if own_prices else answer("margin", "Your margin over that, in percent", margin_of, "10")
    )
    pack = answer("pack", "What does one pack of credits cost, in dollars", pack_of, _PACK)
    return Answers(provider, base_url, item, prices, margin_bps, pack)


def write(folder: Path, answers: Answers, *, force: bool) -> list[Path]:
    """Write both files, neither or both; an .env that is there is kept.

    Raises InitError when farebox.toml is there already and `force` is not given.
    """
    config, env = folder / CONFIG, folder / ENV
    if config.exists() and not force:
        raise InitError(f"{config} is there already: give --force to write it anew")
    text = config_text(answers)
    try:
        parse(text)
    except CatalogueError as error:
        raise InitError("these answers make no valid farebox.toml:\n" + str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    written = [config]
    config.write_text(text, encoding="utf-8")
    if not env.exists():
        handle = os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(env_text(answers))
        written.append(env)
    return written


def _sold(provider: Provider, answer: Callable[..., Any]) -> tuple[str, tuple[str, str]]:
    if provider.shape == "http":
        item = answer("item", "Which path do you sell", path_of, "/v1/score")
        price = answer("prices", "What does a call cost your customers, in dollars", price_of)
        return item, (price, price)
    item = answer("item", "Which model do you sell", model_of)
    who = "your customers" if provider.own else "you"
    question = f"What does it cost {who}, in dollars per million tokens, input/output"
    return item, answer("prices", question, prices_of)


def _answer(
    given: Mapping[str, str | None],
    name: str,
    question: str,
    read: Callable[[str], T],
    default: str | None,
    *,
    interactive: bool,
) -> T:
    option = f"--{name.replace('_', '-')}"
    text = given.get(name)
    if text is None and not interactive:
        text = default
    if text is not None:
        try:
            return read(text)
        except ValueError as error:
            raise InitError(f"{option}: {error}") from error
    if not interactive:
        raise InitError(f"{option} is missing, and nobody can be asked here")
    while True:
        try:
            return read(typer.prompt(question, default=default))
        except ValueError as error:
            typer.echo(f"  {error}", err=True)


def _provider_question() -> str:
    lines = [f"  {provider.name:<10} {provider.says}" for provider in PROVIDERS.values()]
    return "\n".join(["Who does the work?", *lines, "Provider"])


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
