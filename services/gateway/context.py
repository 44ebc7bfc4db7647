"""What every part of one gateway process shares."""

from dataclasses import dataclass

from nats.aio.client import Client

from libs.catalogue import Catalogue
from libs.runtime.clock import Clock
from libs.runtime.command_client import CommandClient
from libs.runtime.health import Health
from services.gateway.keys import KeyDirectory
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """One gateway process: what it sells, whom it asks, and how it is doing."""

    settings: GatewaySettings
    catalogue: Catalogue
    ledger: CommandClient
    """Commands of class ``use``, and queries."""
    keys: KeyDirectory
    nc: Client
    clock: Clock
    health: Health
    public_url: str = ""
    """Where clients reach this gateway, without a slash at the end."""
