"""The demo from its first step to its last."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from farebox.demo.credits import Credits
from farebox.demo.dollars import Dollars
from farebox.demo.shop import Customer, Operator
from farebox.demo.steps import StepFailed, Steps
from farebox.installation import Installation
from libs.catalogue import load

DEARER = ('output = "400.00"', 'output = "500.00"')


def tell(installation: Installation, fault: str, steps: Steps) -> Dollars:
    """Play both accounts and audit the books. Raises StepFailed at the first thing amiss."""
    gateway = installation.url("gateway")
    operator = Operator(installation.url("admin"), installation.admin_token)
    dollars = Dollars(steps, gateway, operator)
    dollars.open()
    if fault == "wrong_charge":
        _make_dearer(installation, operator)
    dollars.be_refused()
    dollars.buy(return_to_shop=fault != "no_top_up")
    dollars.chat()
    dollars.stream()
    dollars.run_down()
    dollars.recharge()
    dollars.go_on()
    whole = Credits(steps, gateway, operator)
    whole.buy()
    whole.score()
    whole.fail()
    _statement(steps, "dollar", dollars.owner, dollars.left)
    _statement(steps, "credit", whole.owner, whole.left)
    if fault == "tampered_event":
        _tamper(installation)
    _verify(installation, steps)
    return dollars


def _statement(steps: Steps, name: str, owner: Customer, left: Decimal) -> None:
    with steps.step(f"The {name} account's statement adds up"):
        lines = owner.statement()
        for line in lines[-6:]:
            steps.say(f"{line['occurred_at'][11:19]} {line['type']:12} {line['amount']:>14}")
        steps.say(f"{len(lines)} lines")
        total = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
        steps.equal("sum of all lines", total, left)
        steps.equal("available", owner.available(), left)


def _verify(installation: Installation, steps: Steps) -> None:
    with steps.step("farebox audit verify proves the log, the chain and the balances"):
        environment = {**os.environ, **installation.stack.env_for("audit")}
        done = subprocess.run(
            [sys.executable, "-m", "farebox.main", "audit", "verify"],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        for line in (done.stdout or done.stderr).strip().splitlines():
            steps.say(line)
        if done.returncode != 0:
            raise StepFailed(f"step {steps.number} ({steps.name}): the audit found a difference")


def _make_dearer(installation: Installation, operator: Operator) -> None:
    """Fault wrong_charge: the gateways charge by prices that /prices did not show."""
    other = Path(installation.folder / "dearer.toml")
    other.write_text(installation.config.read_text().replace(*DEARER))
    operator.post("/catalogues", {"text": load(other).text})
    installation.restart("gateway", config=other)


def _tamper(installation: Installation) -> None:
    """Fault tampered_event: the superuser changes one byte of one event."""
    installation.stack.postgres.sql(
        "set session_replication_role = replica;"
        "update ledger.events set body = set_byte(body, 200, get_byte(body, 200) # 1)"
        " where (partition, position) = (select partition, max(position) - 1 from ledger.events"
        " group by partition order by count(*) desc limit 1)",
        database="farebox",
    )
