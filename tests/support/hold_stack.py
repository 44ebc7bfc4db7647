"""`python -m tests.support.hold_stack FOLDER [USER]`: holds a LocalStack until it is ended.

Prints one JSON line when the servers answer, and stops them when its standard input closes or it
gets Ctrl-C. With USER, root becomes that user first: the interpreter may lie where only root
reaches it, the servers' programs may not.
"""

import encodings.idna  # noqa: F401  (loaded on first use, which may be after the change of user)
import json
import os
import pwd
import signal
import sys
from pathlib import Path

from deploy.local.stack import LocalStack


def become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main(folder: Path) -> None:
    with LocalStack(folder) as stack:
        stack.postgres.sql("create table if not exists starts (at timestamptz default now())")
        stack.postgres.sql("insert into starts default values")
        story = {
            "uid": os.getuid(),
            "postgres": stack.postgres.pid,
            "nats": stack.nats.pid,
            "starts": int(stack.postgres.sql("select count(*) from starts")),
            "user": stack.postgres.sql("select current_user"),
        }
        sys.stdout.write(json.dumps(story) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    # A shell that starts the tests in the background leaves Ctrl-C ignored, also to its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if len(sys.argv) > 2:
        become(sys.argv[2])
    main(Path(sys.argv[1]))
