"""The closed list of events; bodies are normally handled as plain dicts of these shapes."""

from typing import Final

from libs.events.account_events import (
    AccountClosed,
    AccountClosedData,
    AccountFrozen,
    AccountFrozenData,
    AccountOpened,
    AccountOpenedData,
    AccountUnfrozen,
    AccountUnfrozenData,
    KeyIssued,
    KeyIssuedData,
    KeyRevoked,
    KeyRevokedData,
    PlanChanged,
    PlanChangedData,
    SpendLimitsSet,
    SpendLimitsSetData,
)
from libs.events.credit_events import (
    ClawbackReversed,
    ClawbackReversedData,
    CreditsClawedBack,
    CreditsClawedBackData,
    CreditsExpired,
    CreditsExpiredData,
    CreditsGranted,
    CreditsGrantedData,
    CreditsRefunded,
    CreditsRefundedData,
)
from libs.events.event_base import Event, EventData, MoneyData
from libs.events.ledger_events import (
    CataloguePublished,
    CataloguePublishedData,
    IncarnationStarted,
    IncarnationStartedData,
)
from libs.events.recharge_events import (
    BalanceFellBelowThreshold,
    BalanceFellBelowThresholdData,
    RechargeConfigured,
    RechargeConfiguredData,
    RechargeFailed,
    RechargeFailedData,
    RechargeResumed,
    RechargeResumedData,
    RechargeStarted,
    RechargeStartedData,
)
from libs.events.spend_events import (
    CallAttached,
    CallAttachedData,
    CallDetached,
    CallDetachedData,
    CreditsCharged,
    CreditsChargedData,
    CreditsReleased,
    CreditsReleasedData,
    CreditsReserved,
    CreditsReservedData,
    ReservationExpired,
    ReservationExpiredData,
    ReservationExtended,
    ReservationExtendedData,
)

__all__ = [
    "EVENTS",
    "MONEY_EVENTS",
    "TYPE_CODES",
    "TYPE_NAMES",
    "AccountClosed",
    "AccountClosedData",
    "AccountFrozen",
    "AccountFrozenData",
    "AccountOpened",
    "AccountOpenedData",
    "AccountUnfrozen",
    "AccountUnfrozenData",
    "BalanceFellBelowThreshold",
    "BalanceFellBelowThresholdData",
    "CallAttached",
    "CallAttachedData",
    "CallDetached",
    "CallDetachedData",
    "CataloguePublished",
    "CataloguePublishedData",
    "ClawbackReversed",
    "ClawbackReversedData",
    "CreditsCharged",
    "CreditsChargedData",
    "CreditsClawedBack",
    "CreditsClawedBackData",
    "CreditsExpired",
    "CreditsExpiredData",
    "CreditsGranted",
    "CreditsGrantedData",
    "CreditsRefunded",
    "CreditsRefundedData",
    "CreditsReleased",
    "CreditsReleasedData",
    "CreditsReserved",
    "CreditsReservedData",
    "Event",
    "EventData",
    "IncarnationStarted",
    "IncarnationStartedData",
    "KeyIssued",
    "KeyIssuedData",
    "KeyRevoked",
    "KeyRevokedData",
    "MoneyData",
    "PlanChanged",
    "PlanChangedData",
    "RechargeConfigured",
    "RechargeConfiguredData",
    "RechargeFailed",
    "RechargeFailedData",
    "RechargeResumed",
    "RechargeResumedData",
    "RechargeStarted",
    "RechargeStartedData",
    "ReservationExpired",
    "ReservationExpiredData",
    "ReservationExtended",
    "ReservationExtendedData",
    "SpendLimitsSet",
    "SpendLimitsSetData",
    "data_of",
]

_IN_ORDER: Final[tuple[type[Event], ...]] = (
    AccountOpened,
    PlanChanged,
    AccountClosed,
    AccountFrozen,
    AccountUnfrozen,
    KeyIssued,
    KeyRevoked,
    SpendLimitsSet,
    CreditsGranted,
    CreditsReserved,
    ReservationExtended,
    CreditsCharged,
    CreditsReleased,
    ReservationExpired,
    CallAttached,
    CallDetached,
    CreditsRefunded,
    CreditsExpired,
    CreditsClawedBack,
    ClawbackReversed,
    RechargeConfigured,
    BalanceFellBelowThreshold,
    RechargeStarted,
    RechargeFailed,
    RechargeResumed,
    CataloguePublished,
    IncarnationStarted,
)


def data_of(cls: type[Event]) -> type[EventData]:
    """The model of an event type's data."""
    data = cls.model_fields["data"].annotation
    if not (isinstance(data, type) and issubclass(data, EventData)):
        raise TypeError(f"{cls.__name__} has no data of its own")
    return data


EVENTS: Final[dict[str, type[Event]]] = {cls.__name__: cls for cls in _IN_ORDER}
TYPE_CODES: Final[dict[str, int]] = {name: code for code, name in enumerate(EVENTS, start=1)}
"""What stands in the events table: the order above is frozen, new types go to its end."""
TYPE_NAMES: Final[dict[int, str]] = {code: name for name, code in TYPE_CODES.items()}
MONEY_EVENTS: Final = frozenset(
    name for name, cls in EVENTS.items() if issubclass(data_of(cls), MoneyData)
)
"""The types that move credits: they have postings, and carry the balances after them."""
