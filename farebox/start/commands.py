"""The words `farebox init`, `farebox doctor` and `farebox import litellm`."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

imports = typer.Typer(no_args_is_help=True, help="Bring in the configuration of another gateway.")

Config = Annotated[
    Path, typer.Option("--config", envvar="FAREBOX_CONFIG", help="The farebox.toml to read.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@imports.callback()
def group() -> None:
    """Keeps `litellm` a word of its own while it is the only command."""


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write farebox.toml and .env.")] = Path(),
    provider: Annotated[
        str | None, typer.Option(help="openai, anthropic, ollama, vllm or http")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Its address.")] = None,
    item: Annotated[
        str | None, typer.Option(help="The model you sell, or the path with --provider http.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option(help="Dollars per million tokens, 0.25/2.00; or of one call.")
    ] = None,
    margin: Annotated[str | None, typer.Option(help="Percent over cost.")] = None,
    pack: Annotated[str | None, typer.Option(help="Dollars one pack costs and gives.")] = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take options, and defaults where there are.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a farebox.toml.")] = False,
) -> None:
    """Write a commented farebox.toml and an .env from five answers."""
    from farebox.start.init import InitError, ask, is_terminal, write

    given = {
        "provider": provider,
        "base_url": base_url,
        "item": item,
        "prices": prices,
        "margin": margin,
        "pack": pack,
    }
    try:
        answers = ask(given, interactive=not yes and is_terminal())
        written = write(folder, answers, force=force)
    except InitError as error:
        _fail("init", str(error), status=2)
    for file in written:
        typer.echo(f"wrote {file}")
    typer.echo(f"Next: put the key into .env as {answers.provider.key_env}, then")
    typer.echo("  farebox doctor    # checks everything and names each fix")
    typer.echo("  farebox up        # runs it")


def doctor(
    config: Config = Path("farebox.toml"),
    data: Annotated[
        Path, typer.Option("--data", envvar="FAREBOX_HOME", help="Data folder of `farebox up`.")
    ] = Path(".farebox"),
    *,
    calls: Annotated[
        bool,
        typer.Option("--calls/--no-calls", help="Call each model for one token; it costs as much."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Check configuration, upstreams, clock, disk and ports; name each fix.

    Exit status: 0 all is well (warnings allowed), 1 something must be fixed.
    """
    from farebox.start.doctor import examine

    findings = []
    for finding in examine(config, data, calls=calls):
        findings.append(finding)
        if not as_json:
            sign = {"ok": "ok  ", "warning": "warn", "failure": "FAIL"}[finding.verdict]
            typer.echo(f"{sign}  {finding.check}: {finding.detail}")
            if finding.fix:
                typer.echo(f"      fix: {finding.fix}")
    failures = sum(finding.verdict == "failure" for finding in findings)
    if as_json:
        typer.echo(json.dumps([finding.json() for finding in findings], indent=2))
    else:
        typer.echo(f"{len(findings)} checks, {failures} to fix" if failures else "all is well")
    raise typer.Exit(1 if failures else 0)


@imports.command()
def litellm(
    file: Annotated[Path, typer.Argument(help="The proxy's config.yaml.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it there, not to the terminal.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Make a farebox.toml from a LiteLLM proxy's configuration; name what was not carried."""
    from farebox.start.litellm import ImportRefused, convert

    try:
        carried = convert(file)
    except ImportRefused as error:
        _fail("import", str(error), status=2)
    if as_json:
        answer = {"farebox_toml": carried.text, "models": carried.models}
        typer.echo(json.dumps(answer | {"keys": carried.keys, "not_carried": carried.left}))
    elif out is None:
        typer.echo(carried.text, nl=False)
    if out is not None and carried.text:
        if out.exists():
            _fail("import", f"{out} is there already: name another file", status=2)
        out.write_text(carried.text, encoding="utf-8")
    if not as_json:
        _report(len(carried.models), carried.keys, carried.left)
    if not carried.models:
        _fail("import", "no model could be carried", status=1)


def _report(models: int, keys: dict[str, str], left: list[str]) -> None:
    typer.echo(f"carried {models} models", err=True)
    for ours, theirs in keys.items():
        typer.echo(f"  put into .env: {ours}, from {theirs}", err=True)
    for line in left:
        typer.echo(f"  not carried: {line}", err=True)


def _fail(word: str, message: str, *, status: int) -> NoReturn:
    typer.echo(f"farebox {word}: {message}", err=True)
    raise typer.Exit(status)
