"""Letting partitions sell by the catalogues that tests name: else nothing can be held."""

from libs.events.commands import Command
from libs.events.ids import partition_of
from libs.runtime.command_client import CommandClient
from tests.support.database import PARTITIONS
from tests.support.deciding import CATALOGUE, publish

PATIENT_S = 20.0


def selling(account_id: str) -> Command:
    """Let the account's partition sell by CATALOGUE; once is enough, twice does no harm."""
    return publish(partition_of(account_id, PARTITIONS))


async def publish_everywhere(admin: CommandClient, catalogue: str = CATALOGUE) -> None:
    """Let every partition sell by it; by a client of class admin."""
    for partition in range(PARTITIONS):
        reply = await admin.send(publish(partition, catalogue), give_up_s=PATIENT_S)
        assert reply.reply == "Published", reply
