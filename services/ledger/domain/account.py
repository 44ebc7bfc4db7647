from libs.events.commands import OpenAccount
from libs.events.money import is_integral
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import granted
from services.ledger.domain.state import Account, Data, Declined


def decide_open(draft: Draft, command: OpenAccount) -> Declined | None:
    """Open the account; its initial allocation is a grant of the same command (ACC-6)."""
    data = command.data
    if data.initial is not None and not is_integral(data.initial, data.unit):
        return Declined("not_integral", parameter="initial")
    draft.add(
        "AccountOpened",
        {
            "unit": data.unit,
            "plan": data.plan,
            "external_id_hash": data.external_id_hash,
            "catalogue": data.catalogue,
        },
    )
    if data.initial is not None:
        draft.move(
            "CreditsGranted",
            granted(draft.account, source="initial", amount=data.initial, catalogue=data.catalogue),
        )
    return None


def evolve_opened(account_id: str, data: Data) -> Account:
    return Account(
        account_id=account_id, unit=data["unit"], plan=data["plan"], catalogue=data["catalogue"]
    )
