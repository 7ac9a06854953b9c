"""Masters: the marketplace, and a customer's own strategies."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from shared.contracts.stats import PERIOD_DAYS
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import answers, filters, views
from api.bodies import ClosePolicy, DeleteBody, MasterCreate, MasterUpdate
from api.client.lists import documented, documented_search, one_of, query_of
from api.commands import masters
from api.door import FAILURES, At, CustomerRoute
from api.intake import INT64_MAX
from api.marketplace import FIGURES, MASTER_FIELDS
from api.read_models import MasterStats
from api.store import Follower, Master, RewardPolicy, Subscription
from api.views import Json

router = APIRouter(prefix="/copytrade", tags=["masters"], route_class=CustomerRoute, responses=FAILURES)

RecordId = Annotated[int, Path(alias="id", ge=1, le=INT64_MAX)]
Closing = Annotated[ClosePolicy | None, Query(description="What becomes of open copies: they stay, or are closed at market.")]

DEFAULT_PERIOD = "30D"
FIELDS = filters.fields_of(Master, MASTER_FIELDS) | filters.fields_of(MasterStats, FIGURES, prefix="stats.")
PERIODS = {"stats_period": tuple(PERIOD_DAYS), "period": tuple(PERIOD_DAYS)}
OPTIONS = {name: one_of(name, *values) for name, values in PERIODS.items()}


@router.get("/masters", response_model=answers.MASTERS, openapi_extra=documented(PERIODS))
async def list_masters(request: Request, at: At) -> Any:
    """Public enabled masters and the customer's own, with statistics, filtered and sorted by any of them."""
    return await _listed(request, at)


@router.post("/masters/search", response_model=answers.MASTERS, openapi_extra=documented_search(PERIODS))
async def search_masters(request: Request, at: At) -> Any:
    """The same list, with the filter as a JSON body."""
    return await _listed(request, at)


@router.get("/my", response_model=answers.MINE)
async def mine(at: At) -> Json:
    """The customer's own masters and followers, and the subscriptions that belong to any of them."""
    async with at.context.store.read() as session:
        own = list(
            (await session.execute(select(Master).where(col(Master.customer_id) == at.customer_id).order_by(col(Master.id)))).scalars()
        )
        followers = list(
            (
                await session.execute(select(Follower).where(col(Follower.customer_id) == at.customer_id).order_by(col(Follower.id)))
            ).scalars()
        )
        policies = await _policies(session, [master.id for master in own])
        related = or_(
            col(Subscription.follower_login).in_([follower.login for follower in followers]),
            col(Subscription.master_login).in_([master.login for master in own]),
        )
        subscriptions = (await session.execute(select(Subscription).where(related).order_by(col(Subscription.id)))).scalars()
        return {
            "masters": [views.master_view(master, policies.get(master.id)) for master in own],
            "followers": [views.follower_view(follower) for follower in followers],
            "subscriptions": [views.subscription_view(subscription) for subscription in subscriptions],
        }


@router.post("/master", response_model=answers.MASTER)
async def create_master(body: MasterCreate, at: At) -> Json:
    """Makes a REAL account of the customer a master, with its reward policy."""
    return await at.write(lambda change: masters.create(change, body))


@router.put("/master/{id}", response_model=answers.MASTER)
async def update_master(record: RecordId, body: MasterUpdate, at: At) -> Json:
    """Changes the fields that are sent; a `reward_policy` is a new version of it, from now on."""
    return await at.write(lambda change: masters.update(change, record, body))


@router.delete("/master/{id}", response_model=answers.Done)
async def delete_master(record: RecordId, at: At, close_policy: Closing = None, body: DeleteBody | None = None) -> Json:
    """Deletes a master with its subscriptions. With copied positions open, `close_policy` is needed."""
    policy = close_policy or (body.close_policy if body else None)
    return await at.write(lambda change: masters.delete(change, record, policy))


async def _listed(request: Request, at: At) -> Response:
    query = await query_of(request, FIELDS, OPTIONS)
    period = query.options.get("stats_period") or query.options.get("period") or DEFAULT_PERIOD
    return Response(await at.context.marketplace.page(query, period, at.customer_id), media_type="application/json")


async def _policies(session: AsyncSession, master_ids: list[int]) -> dict[int, RewardPolicy]:
    found = await session.execute(select(RewardPolicy).where(col(RewardPolicy.master_id).in_(master_ids)))
    return {policy.master_id: policy for policy in found.scalars()}
