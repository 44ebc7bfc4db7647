"""Write the golden files anew: `python -m tests.contract.write_golden`.

Only before version 1 of the events is frozen, and never to make a failing test pass.
"""

import hashlib
import json
from pathlib import Path

from libs.events.codec import canonical, decode_command
from libs.events.fingerprints import fingerprint
from tests.contract import examples
from tests.contract.chain_example import chain

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    folder = GOLDEN / "events"
    folder.mkdir(parents=True, exist_ok=True)
    for stray in folder.iterdir():
        stray.unlink()
    for name in examples.EVENTS:
        raw = canonical(examples.event(name))
        (folder / f"{name}.v1.json").write_bytes(raw)
        digest = hashlib.sha256(raw).hexdigest()
        (folder / f"{name}.v1.json.sha256").write_text(f"{digest}  {name}.v1.json\n")
    raws = chain()
    (GOLDEN / "chain.jsonl").write_bytes(b"\n".join(raws) + b"\n")
    (GOLDEN / "chain.head").write_text(hashlib.sha256(raws[-1]).hexdigest() + "\n")
    prints = {
        kind: fingerprint(decode_command(json.dumps(examples.command(kind)).encode())).hex()
        for kind in examples.COMMANDS
    }
    (GOLDEN / "fingerprints.json").write_text(json.dumps(prints, indent=2) + "\n")


if __name__ == "__main__":
    main()
