"""All benchmarks, one after the other: `make bench`."""

from benchmarks import ledger

ledger.main()
