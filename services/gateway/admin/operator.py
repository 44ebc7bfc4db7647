"""Who the credential says that one is."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.gateway.admin.roles import Operator, Role, operator_of

router = APIRouter(prefix="/operator", tags=["operator"])


class OperatorView(BaseModel):
    name: str
    role: Role


@router.get("")
async def show_operator(operator: Annotated[Operator, Depends(operator_of)]) -> OperatorView:
    """The name and the role of the credential that is presented."""
    return OperatorView(name=operator.name, role=operator.role)
