from sys import intern

from libs.events.commands import ChangePlan, CloseAccount, OpenAccount
from libs.events.money import is_integral
from services.ledger.domain.clawbacks import taking
from services.ledger.domain.draft import Draft
from services.ledger.domain.grants import granted
from services.ledger.domain.notes import note_id
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


def decide_plan(draft: Draft, command: ChangePlan) -> Declined | None:
    data, account = command.data, draft.account
    if account.closed:
        return Declined("account_closed")
    draft.add("PlanChanged", {"plan": data.plan, "catalogue": data.catalogue})
    return None


def decide_close(draft: Draft, command: CloseAccount) -> Declined | None:
    """Close for good: nothing open, and nothing left unless it is written off by name."""
    account, data = draft.account, command.data
    if account.closed:
        return Declined("account_closed")
    attempt = account.recharge.attempt if account.recharge else None
    if account.reserved or attempt or (account.available and not data.write_off):
        return Declined(
            "account_not_empty",
            available=account.available,
            reserved=account.reserved,
            total=account.total,
            parameter="open_attempt" if attempt else None,
        )
    for grant in account.grants:
        draft.move(
            "CreditsClawedBack", taking("write_off", grant.payment, grant.no, grant.available)
        )
    for key in account.keys.values():
        if not key.revoked:
            draft.add("KeyRevoked", {"key_id": key.key_id, "reason_code": "account_closed"})
    draft.add("AccountClosed", {"reason_code": data.reason_code, "note_id": note_id(command)})
    return None


def evolve_plan(account: Account, data: Data) -> Account:
    return account._replace(plan=data["plan"], catalogue=data["catalogue"])


def evolve_closed(account: Account, _data: Data) -> Account:
    return account._replace(closed=True, armed=None)


def evolve_opened(account_id: str, data: Data) -> Account:
    return Account(
        account_id=account_id,
        unit=intern(data["unit"]),
        plan=intern(data["plan"]),
        catalogue=intern(data["catalogue"]),
    )
