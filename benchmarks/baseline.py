"""What a user would build instead: one plpgsql call a transaction, driven by pgbench."""

import os
import re
import resource
import subprocess
import tempfile
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.rounds import Round, Void
from benchmarks.usage import Meter
from deploy.local.postgres import binaries

DATABASE = "baseline"
CLIENTS = (1, 16, 64)
SCRIPTS = {
    "many": "\\set account random(1, 10000)\nselect reserve(:account, 1);\n",
    "hot": "select reserve(1, 1);\n",
}


class Baseline:
    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._meter = Meter({"postgres": installation.stack.postgres.pid})

    def install(self) -> None:
        self._installation.stack.create_database(DATABASE)
        script = (Path(__file__).parent / "baseline.sql").read_text()
        self._installation.stack.postgres.sql(script, database=DATABASE)
        self._installation.stack.postgres.sql("vacuum analyze", database=DATABASE)

    def round(self, shape: str, clients: int, seconds: float) -> Round:
        """Raises Void when a call failed or reserved nothing."""
        installation = self._installation
        installation.checkpoint()
        before, wal = self.entries(), installation.wal()
        self._meter.start()
        own = _children_cpu()
        text = self._pgbench(SCRIPTS[shape], clients, seconds)
        cpu = {"load": _children_cpu() - own, **self._meter.used()}
        count = int(_number(r"transactions actually processed: (\d+)", text))
        failed = int(_number(r"failed transactions: (\d+)", text))
        stored = self.entries() - before
        if failed or stored != count:
            raise Void(f"{count} calls, {failed} failed, {stored} in the table")
        return Round(
            side="baseline",
            shape=shape,
            callers=clients,
            count=count,
            per_second=_number(r"tps = ([\d.]+)", text),
            mean_ms=_number(r"latency average = ([\d.]+)", text),
            cpu_us={name: used / count * 1e6 for name, used in cpu.items()},
            wal_bytes=(installation.wal() - wal) / count,
        )

    def percentiles(self, shape: str, clients: int, seconds: float) -> dict[str, float]:
        """Percentiles from a log of every transaction; apart, as writing it costs pgbench time."""
        with tempfile.TemporaryDirectory() as folder:
            prefix = f"{folder}/calls"
            self._pgbench(SCRIPTS[shape], clients, seconds, "--log", f"--log-prefix={prefix}")
            lines = "".join(path.read_text() for path in Path(folder).iterdir()).splitlines()
        times = sorted(int(line.split(" ")[2]) / 1000 for line in lines)
        return {"p50_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100]}

    def entries(self) -> int:
        return int(self._installation.sql("select count(*) from entries", database=DATABASE))

    def _pgbench(self, script: str, clients: int, seconds: float, *options: str) -> str:
        cores = os.cpu_count() or 1
        command = [
            str(binaries() / "pgbench"), "-n", "-M", "prepared", "-c", str(clients),
            "-j", str(min(clients, cores)), "-T", f"{seconds:.0f}", "-f", "/dev/stdin", *options,
            self._installation.dsn("postgres", DATABASE),
        ]  # fmt: skip
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Void(done.stderr[-500:])
        return done.stdout


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise Void(f"pgbench did not say {pattern!r}: {text}")
    return float(found[1])
