"""What a customer controls besides copying itself: halts of own masters and followers, and API keys."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import or_, select
from sqlmodel import col

from api import answers, views
from api.bodies import ApiKeyCreate, ApiKeyUpdate, HaltBody, ResumeBody
from api.client.masters import RecordId
from api.commands import halts, keys
from api.door import FAILURES, At, CustomerRoute
from api.store import ApiKey, Follower, Halt, Master
from api.views import Json

router = APIRouter(prefix="/copytrade", tags=["control"], route_class=CustomerRoute, responses=FAILURES)


@router.get("/halts", response_model=answers.HALTS)
async def list_halts(at: At) -> Json:
    """Stops of trading that are in force for the customer: its own, and everybody's."""
    async with at.context.store.read() as session:
        logins: set[str] = set()
        for model in (Master, Follower):
            own: Any = select(col(model.login)).where(col(model.customer_id) == at.customer_id)
            logins |= {str(login) for login in (await session.execute(own)).scalars()}
        mine = or_(col(Halt.scope).in_(["all", "symbol"]), col(Halt.key).in_(logins))
        rows = (await session.execute(select(Halt).where(col(Halt.active) == 1, mine).order_by(col(Halt.id)))).scalars()
        return {"rows": [views.as_object(row, views.HALT) for row in rows]}


@router.post("/halt", response_model=answers.HALT)
async def halt(body: HaltBody, at: At) -> Json:
    """Stops the opening of copies of an own master, or on an own follower, at once and until it is resumed."""
    return await at.write(lambda change: halts.halt(change, body))


@router.post("/resume", response_model=answers.HALT)
async def resume(body: ResumeBody, at: At) -> Json:
    """Takes an own halt back."""
    return await at.write(lambda change: halts.resume(change, body))


@router.get("/api-keys", response_model=answers.API_KEYS)
async def list_api_keys(at: At) -> Json:
    """The customer's keys of the signed OpenAPI, without their secrets."""
    async with at.context.store.read() as session:
        rows = (await session.execute(select(ApiKey).where(col(ApiKey.customer_id) == at.customer_id).order_by(col(ApiKey.id)))).scalars()
        return {"rows": [views.as_object(row, views.API_KEY) for row in rows]}


@router.post("/api-keys", response_model=answers.NEW_API_KEY)
async def create_api_key(body: ApiKeyCreate, at: At) -> Json:
    """A key for one account. Its secret is in this answer and never again."""
    return await at.write(lambda change: keys.create(change, body, at.context.vault))


@router.put("/api-keys/{id}", response_model=answers.API_KEY)
async def update_api_key(record: RecordId, body: ApiKeyUpdate, at: At) -> Json:
    """Changes the fields that are sent."""
    return await at.write(lambda change: keys.update(change, record, body))


@router.delete("/api-keys/{id}", response_model=answers.Done)
async def delete_api_key(record: RecordId, at: At) -> Json:
    """The key is refused from now on."""
    return await at.write(lambda change: keys.delete(change, record))
