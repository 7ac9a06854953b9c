"""Followers: the customer's accounts that may copy masters."""

from fastapi import APIRouter

from api import answers
from api.bodies import DeleteBody, FollowerCreate, FollowerUpdate
from api.client.masters import Closing, RecordId
from api.commands import followers
from api.door import FAILURES, At, CustomerRoute
from api.views import Json

router = APIRouter(prefix="/copytrade", tags=["followers"], route_class=CustomerRoute, responses=FAILURES)


@router.post("/follower", response_model=answers.FOLLOWER)
async def create_follower(body: FollowerCreate, at: At) -> Json:
    """Lets an account of the customer copy masters."""
    return await at.write(lambda change: followers.create(change, body))


@router.put("/follower/{id}", response_model=answers.FOLLOWER)
async def update_follower(record: RecordId, body: FollowerUpdate, at: At) -> Json:
    """Changes the fields that are sent."""
    return await at.write(lambda change: followers.update(change, record, body))


@router.delete("/follower/{id}", response_model=answers.Done)
async def delete_follower(record: RecordId, at: At, close_policy: Closing = None, body: DeleteBody | None = None) -> Json:
    """Deletes a follower with its subscriptions. With copied positions open, `close_policy` is needed."""
    policy = close_policy or (body.close_policy if body else None)
    return await at.write(lambda change: followers.delete(change, record, policy))
