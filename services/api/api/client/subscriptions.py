"""Subscriptions: which masters the customer's followers copy, and how."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import or_, select
from sqlmodel import col

from api import answers, filters, read_models, views
from api.bodies import DeleteBody, SubscriptionCreate, SubscriptionUpdate
from api.client.lists import FORMAT, FORMATS, Listing, answer, documented, documented_search, own_logins, query_of
from api.client.masters import Closing, RecordId
from api.client.previews import previewed
from api.commands import subscriptions
from api.door import FAILURES, At, CustomerRoute
from api.errors import Refused
from api.store import Subscription, Version
from api.views import Json

router = APIRouter(prefix="/copytrade", tags=["subscriptions"], route_class=CustomerRoute, responses=FAILURES)
LISTING = Listing(filters.fields_of(Subscription, views.SUBSCRIPTION), views.SUBSCRIPTION, col(Subscription.id))


@router.get("/subscriptions", response_model=answers.Table | answers.Objects, openapi_extra=documented(FORMATS))
async def list_subscriptions(request: Request, at: At) -> Any:
    """Subscriptions of the customer's followers, and to the customer's masters."""
    return await _listed(request, at)


@router.post("/subscriptions/search", response_model=answers.Table | answers.Objects, openapi_extra=documented_search(FORMATS))
async def search_subscriptions(request: Request, at: At) -> Any:
    """The same list, with the filter as a JSON body."""
    return await _listed(request, at)


@router.post("/subscription", response_model=answers.SUBSCRIPTION)
async def create_subscription(body: SubscriptionCreate, at: At) -> Json:
    """Subscribes a follower of the customer to an available master."""
    return await at.write(lambda change: subscriptions.create(change, body))


@router.post("/subscription/preview", response_model=answers.Preview)
async def preview_subscription(body: SubscriptionCreate, at: At) -> Json:
    """What the master's last closings would have brought and cost with these settings: an estimate at today's equities and rates. Nothing
    is written. `rows` is empty where the master does not show its trades; the totals are told all the same.

    Raises Refused: INVALID_ACCOUNT, MASTER_NOT_FOUND, MASTER_NOT_AVAILABLE.
    """
    return await previewed(at.context, at.customer_id, body)


@router.put("/subscription/{id}", response_model=answers.SUBSCRIPTION)
async def update_subscription(record: RecordId, body: SubscriptionUpdate, at: At) -> Json:
    """Changes the fields that are sent. `copy_existing_positions` 1 copies what is open now and has no copy yet."""
    return await at.write(lambda change: subscriptions.update(change, record, body))


@router.delete("/subscription/{id}", response_model=answers.Done)
async def delete_subscription(record: RecordId, at: At, close_policy: Closing = None, body: DeleteBody | None = None) -> Json:
    """Ends a subscription. With copied positions open, `close_policy` is needed."""
    policy = close_policy or (body.close_policy if body else None)
    return await at.write(lambda change: subscriptions.delete(change, record, policy))


@router.get("/subscription/{id}/history", response_model=answers.History)
async def subscription_history(record: RecordId, at: At) -> Json:
    """What the settings of a subscription were, and from when; the newest last. Open to the follower and to the master."""
    async with at.context.store.read() as session:
        subscription = await session.get(Subscription, record)
        if subscription is None:
            raise Refused("RET_ERR_NOTFOUND", f"there is no subscription {record}")
        own = {account.login for account in await read_models.accounts_of(session, at.customer_id)}
        if not own & {subscription.follower_login, subscription.master_login}:
            raise Refused("PERMISSION_DENIED", f"subscription {record} is not yours")
        kept = (col(Version.noun) == "subscription") & (col(Version.record_id) == record)
        versions = (await session.execute(select(Version).where(kept).order_by(col(Version.version)))).scalars()
        rows = [views.version_view(version) for version in versions]
    return {"rows": rows, "count": len(rows)}


async def _listed(request: Request, at: At) -> JSONResponse:
    query = await query_of(request, LISTING.fields, FORMAT)
    own = own_logins(at.customer_id)
    related = or_(col(Subscription.follower_login).in_(own), col(Subscription.master_login).in_(own))
    return await answer(at.context, LISTING, select(Subscription).where(related), query)
