"""A ledger that only remembers commands: for services that send them, before and beside the real one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.stack import LocalStack
from libs.events.codec import Malformed, decode_command, encode_reply
from libs.events.commands import Command
from libs.events.fingerprints import fingerprint
from libs.events.ids import new_id
from libs.events.replies import REPLY_TO
from libs.events.subjects import ALL_COMMANDS, ALL_QUERIES, parse_command_subject
from tests.support.nats import connected


async def settled(client: Client) -> None:
    """Return when the server knows every subscription made so far.

    Twice: the client's first PING overtakes what still waits in its own buffer.
    """
    await client.flush()
    await client.flush()


class FakeLedger:
    """Accepts every command once and repeats its first reply; `decline` makes it say no.

    It answers as the NATS users `ledger` (commands) and `reader` (queries) do.
    """

    def __init__(self, commands: Client, queries: Client) -> None:
        self._commands = commands
        self._queries = queries
        self._seen: dict[tuple[str, str, str], tuple[bytes, bytes]] = {}
        self.accepted: list[Command] = []
        self.asked = 0
        self.decline: str | None = None
        self.answers: dict[str, dict[str, Any]] = {}

    async def arrive(self) -> None:
        self._subscriptions = [
            await self._commands.subscribe(ALL_COMMANDS, cb=self._command),
            await self._queries.subscribe(ALL_QUERIES, cb=self._query),
        ]
        await self._settle()

    async def leave(self) -> None:
        """Nobody answers any more, as while no process leads."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        await self._settle()

    async def _settle(self) -> None:
        for client in (self._commands, self._queries):
            await settled(client)

    def grants(self, account_id: str) -> list[Command]:
        return [
            command
            for command in self.accepted
            if command.kind == "GrantCredits" and command.account_id == account_id
        ]

    def failures(self, account_id: str) -> list[Command]:
        return [
            command
            for command in self.accepted
            if command.kind == "RecordRechargeFailure" and command.account_id == account_id
        ]

    async def _command(self, message: Msg) -> None:
        self.asked += 1
        place = parse_command_subject(message.subject)
        command = decode_command(message.data)
        assert place is not None
        assert place[1] == "money"
        assert not isinstance(command, Malformed), command
        key = (command.caller_id, command.kind, command.account_id)
        mark = fingerprint(command)
        if key not in self._seen:
            if self.decline is not None:
                await message.respond(_reply("Declined", command, code=self.decline))
                return
            self.accepted.append(command)
            self._seen[key] = (
                mark,
                _reply(REPLY_TO[command.kind], command, grant_id=new_id("grant")),
            )
        first, reply = self._seen[key]
        await message.respond(
            reply if first == mark else _reply("Conflict", command, code="fingerprint")
        )

    async def _query(self, message: Msg) -> None:
        name = message.subject.rpartition(".")[2]
        if name not in self.answers:
            await message.respond(b'{"ok": false, "code": "unknown_account", "message": "none"}')
            return
        answer = {"ok": True, "position": 1, "as_of_position": None, "data": self.answers[name]}
        await message.respond(orjson.dumps(answer))


def _reply(reply: str, command: Command, **data: Any) -> bytes:
    return encode_reply(
        {
            "reply": reply,
            "account_id": command.account_id,
            "incarnation": 1,
            "position": 1,
            "event_count": 1,
            "data": data,
        }
    )


@asynccontextmanager
async def fake_ledger(stack: LocalStack) -> AsyncIterator[FakeLedger]:
    async with connected(stack, "ledger") as commands, connected(stack, "reader") as queries:
        ledger = FakeLedger(commands, queries)
        ledger.answers["installation"] = {
            "partitions": 3,
            "incarnation": 1,
            "incarnations": [],
            "last_position": 0,
            "ledger_now": "2026-11-20T19:10:38.000123Z",
        }
        await ledger.arrive()
        yield ledger
