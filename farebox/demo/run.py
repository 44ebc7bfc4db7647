"""`farebox demo`: install, play the story, then stay up for you to try."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from threading import Event

from deploy.local.launch import free_port
from farebox.demo.dollars import Dollars
from farebox.demo.steps import StepFailed, Steps
from farebox.demo.story import tell
from farebox.installation import Installation
from farebox.units import Process

FAULTS = ("", "wrong_charge", "no_top_up", "tampered_event")
WEBHOOK_SECRET = "whsec_demo"  # noqa: S105 - the simulator's, known to everybody
PROVIDER_KEY = "sim-provider-key"


def demo(data: Path, *, leave: bool, fault: str = "") -> int:
    """Run the demo in `data` (wiped first); 0 when every step held.

    With `leave` it ends after the story, else it stays up until Ctrl-C.
    """
    if fault not in FAULTS:
        known = ", ".join(FAULTS[1:])
        print(f"FAREBOX_DEMO_FAULT={fault}: there is no such fault; known: {known}")
        return 2
    data = data.absolute()
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    began = time.monotonic()
    installation = _installation(data, fault)
    try:
        installation.start()
        print(f"everything is up after {time.monotonic() - began:.1f} s")
        dollars = tell(installation, fault, Steps())
        print(f"\nEvery step held ({time.monotonic() - began:.1f} s).")
        _farewell(installation, dollars)
        if not leave:
            _wait()
    except StepFailed as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        installation.stop()
    return 0


def _installation(data: Path, fault: str) -> Installation:
    ports = {name: free_port() for name in ("provider", "stripe", "payments")}
    text = Path(__file__).with_name("farebox.toml").read_text()
    config = data / "farebox.toml"
    config.write_text(text.replace("@provider@", f"http://127.0.0.1:{ports['provider']}"))
    webhook = f"http://127.0.0.1:{ports['payments']}/webhooks/stripe"
    stripe = ["--webhook-secret", WEBHOOK_SECRET]
    if fault != "no_top_up":
        stripe += ["--webhook-url", webhook]
    return Installation(
        data,
        config,
        ports={"gateway": 0, "admin": 0, "payments": ports["payments"]},
        env={
            "gateway": {
                "FAREBOX_UPSTREAM_NORTH_KEY": PROVIDER_KEY,
                "FAREBOX_UPSTREAM_SCORER_KEY": PROVIDER_KEY,
            },
            # The story reads what it has just done, on a machine that may be busy.
            "reader": {"FAREBOX_READ_YOUR_WRITES_S": "10"},
            "payments": {
                "FAREBOX_STRIPE_API_KEY": "sk_test_demo",
                "FAREBOX_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "FAREBOX_STRIPE_API_BASE": f"http://127.0.0.1:{ports['stripe']}",
            },
        },
        beside=[
            _simulator(data, "provider", ports["provider"], []),
            _simulator(data, "stripe", ports["stripe"], stripe),
        ],
        report=lambda line: print(f"  {line}", flush=True),
    )


def _simulator(data: Path, name: str, port: int, arguments: list[str]) -> Process:
    run_file = data / "run" / f"{name}.json"
    command = [sys.executable, "-m", f"simulators.{name}", "--port", str(port)]
    return Process(
        name=name,
        command=[*command, "--run-file", str(run_file), *arguments],
        env={**os.environ, "SIMULATOR_PROVIDER_KEY": PROVIDER_KEY},
        run_file=run_file,
        log=data / "logs" / f"{name}.log",
        ready=None,
    )


def _farewell(installation: Installation, dollars: Dollars) -> None:
    gateway = installation.url("gateway")
    print(f"\n  gateway   {gateway}\n  admin     {installation.url('admin')}/admin/v1")
    print(f"  payments  {installation.url('payments')}\n  data      {installation.folder}\n")
    print(f"export OPENAI_BASE_URL={gateway}/v1")
    print(f"export OPENAI_API_KEY={dollars.key}", flush=True)


def _wait() -> None:
    print("\nIt stays up; Ctrl-C ends it.", flush=True)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
