"""The manager API over HTTP: `POST /manager/{command}` with the command's data as the body."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from api.door import FAILURES, At, ManagerRoute, asked
from api.manager.dispatch import dispatch
from api.views import Json

router = APIRouter(prefix="/manager", tags=["manager"], route_class=ManagerRoute, responses=FAILURES)
BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post("/{command}", openapi_extra=BODY)
async def manager_command(command: Annotated[str, Path(max_length=80)], request: Request, at: At) -> Json:
    """Any command of `docs/manager-api.md`, with its data as the body."""
    data: Any = await request.json() if await request.body() else None
    return await dispatch(at.context, at.actor, command, data, await asked(request))
