"""All benchmarks, one after the other: `make bench`."""

from benchmarks import ledger
from benchmarks.gateway.__main__ import main as gateway

ledger.main()
gateway()
