"""What is sold: the catalogues that were published, and publishing one."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from libs.events.fields import CatalogueText, Sha256
from services.gateway.admin.context import Admin, IdempotencyKey, TheAdmin
from services.gateway.admin.roles import role
from services.gateway.fields import Body
from services.gateway.ledger_calls import Conflicting
from services.gateway.pages import CSV, TheForm
from services.gateway.problems import Problem, problems
from services.gateway.publishing import AT_ONCE, Publication, publish, published

router = APIRouter(prefix="/catalogues", tags=["catalogues"])


class Publish(Body):
    """`text`: the canonical JSON of what is sold; left out, that of the admin process's own file.

    `effective_from`: at once when left out, or past. `withdraws`: hashes that end when this begins.
    """

    text: CatalogueText | None = None
    effective_from: AwareDatetime | None = None
    withdraws: tuple[Sha256, ...] = ()


class PublishedCatalogue(BaseModel):
    """`partitions`: how many of the ledger's partitions were told of it; it should be all.

    `in_force`: whether all of them sell by it now. Where moments differ, the last counts.
    """

    hash: str
    effective_from: str
    withdrawn_from: str | None
    in_force: bool
    partitions: int


class CatalogueList(BaseModel):
    """`configured`: the hash of the admin process's own file."""

    configured: str
    partitions: int
    catalogues: list[PublishedCatalogue]


class CatalogueTextBody(BaseModel):
    hash: str
    text: str


@router.get("", response_model=CatalogueList, responses=CSV)
async def list_catalogues(admin: TheAdmin, form: TheForm) -> Response | BaseModel:
    """All catalogues that were ever published, the first one first."""
    return form.of(await _list(admin), "catalogues")


@router.get("/{catalogue_hash}")
async def catalogue_text(
    admin: TheAdmin, catalogue_hash: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
) -> CatalogueTextBody:
    """What a catalogue said: the canonical JSON that its hash is the SHA-256 of."""
    answer = await admin.ledger.query("catalogue", {"hash": catalogue_hash}, partition=0)
    return CatalogueTextBody(**answer["data"])


@router.post("", responses=problems(404), **role("admin"))
async def publish_catalogue(
    admin: TheAdmin, body: Publish, _idempotency_key: IdempotencyKey
) -> CatalogueList:
    """Let every partition sell by a catalogue from a moment on.

    Its hash makes it idempotent: what was published is published once, for good. Gateways sell by
    it when they are started with the file.
    """
    text = body.text if body.text is not None else admin.catalogue.text
    hashed = hashlib.sha256(text.encode()).hexdigest()
    moment = body.effective_from or AT_ONCE
    what = Publication(hashed, text, max(moment, AT_ONCE), body.withdraws)
    try:
        await publish(admin.ledger, range(admin.catalogue.ledger.partitions), what)
    except Conflicting:
        detail = (
            "This catalogue was published before, for another moment or with other withdrawals; "
            "that stands."
        )
        raise Problem(409, "already_published", detail, hash=hashed) from None
    return await _list(admin)


async def _list(admin: Admin) -> CatalogueList:
    partitions = admin.catalogue.ledger.partitions
    told = await published(admin.ledger, partitions)
    names = dict.fromkeys(name for of in told for name in of)
    rows = [_row(name, [of[name] for of in told if name in of], partitions) for name in names]
    return CatalogueList(configured=admin.catalogue.hash, partitions=partitions, catalogues=rows)


def _row(name: str, told: list[dict[str, Any]], partitions: int) -> PublishedCatalogue:
    ends = [row["withdrawn_from"] for row in told]
    return PublishedCatalogue(
        hash=name,
        effective_from=max(row["effective_from"] for row in told),
        withdrawn_from=max(ends) if all(ends) else None,
        in_force=len(told) == partitions and all(row["in_force"] for row in told),
        partitions=len(told),
    )
