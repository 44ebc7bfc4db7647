"""Ids, times and parts that the examples share."""

ACCOUNT = "acct_01a1fa0000007000800000000000a001"
KEY = "key_01a1fa0000017000800000000000b002"
OLD_KEY = "key_01a1fa0000007000800000000000b001"
RES = "req_01a1fa0000027000800000000000c003"
GRANT = "grant_01a1fa0000008000800000000000d004"
CHILD = "grant_01a1fa0000008000800000000000d005"
ATTEMPT = "rchg_01a1fa0000037000800000000000e006"
NOTE = "note_01a1fa0000047000800000000000f007"
CATALOGUE = "5f2b" * 16
OLD_CATALOGUE = "17c0" * 16
SECRET_HASH = "9e1d" * 16
EXTERNAL_HASH = "c3a8" * 16
TEXT_HASH = "44be" * 16
AT = "2026-11-20T19:10:38.000123Z"
LATER = "2026-11-20T19:15:38.000123Z"
NEXT_YEAR = "2027-11-20T19:10:38.000123Z"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FEE = {"currency": "USD", "minor": 1, "schedule": "fidelity-1"}
PAID = {"currency": "USD", "minor": 1000}
WINDOWS = {"day": "2026-11-20", "month": "2026-11"}
TRIES = [
    {"upstream": "north", "status": 529, "reason": "overloaded"},
    {"upstream": "south", "status": 200, "reason": None},
]
USAGE = {"input_tokens": 1200, "output_tokens": 350, "cached_tokens": 0}
TAGS = {"team": "search", "env": 'a "quoted" value'}
