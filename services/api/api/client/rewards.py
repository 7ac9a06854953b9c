"""The reward accruals of a customer's accounts, and the statement that anyone can recompute them from."""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from shared.contracts.rewards import AccrualRow, AccrualState
from shared.money import minor_digits, quantize
from shared.statement import statement, to_csv
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import answers, filters, periods, read_models, views
from api.client.lists import FORMAT, FORMATS, Listing, answer, documented, documented_search, own_logins, query_of
from api.door import FAILURES, At, CustomerRoute
from api.errors import Refused
from api.intake import INT64_MAX
from api.read_models import Accrual
from api.store import Subscription

router = APIRouter(prefix="/copytrade", tags=["rewards"], route_class=CustomerRoute, responses=FAILURES)
LISTING = Listing(filters.fields_of(Accrual, views.ACCRUAL), views.ACCRUAL, col(Accrual.id))


@router.get("/rewards", response_model=answers.Table | answers.Objects, openapi_extra=documented(FORMATS))
async def list_rewards(request: Request, at: At) -> Any:
    """Reward accruals of the customer's accounts, as follower or as master."""
    return await _listed(request, at)


@router.post("/rewards/search", response_model=answers.Table | answers.Objects, openapi_extra=documented_search(FORMATS))
async def search_rewards(request: Request, at: At) -> Any:
    """The same list, with the filter as a JSON body."""
    return await _listed(request, at)


CSV = {"content": {"text/csv": {"schema": {"type": "string"}}}}
"""The statement's other form, for the documentation."""


@router.get("/rewards/statement", response_model=answers.Statement, responses={200: CSV})
async def reward_statement(
    request: Request,
    at: At,
    subscription_id: Annotated[int, Query(ge=1, le=INT64_MAX)],
    period: Annotated[str, Query(pattern=periods.PATTERN, description="2026, 2026-Q2, 2026-05, 2026-W19, 2026-05-08 or all")] = "all",
    form: Annotated[Literal["json", "csv"] | None, Query(alias="format")] = None,
) -> Response:
    """Every accrual of a subscription in a time of the broker's calendar, with all that it was computed from: `tools/verify_statement.py`
    recomputes it. Open to the follower and to the master. CSV with `format=csv`, or for who accepts `text/csv`. Amounts are texts, exact.

    Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED.
    """
    start, end = periods.span(period, ZoneInfo(at.context.settings.broker_timezone))
    most = at.context.settings.manager_page_max
    async with at.context.store.read() as session:
        await _own_subscription(session, subscription_id, at.customer_id)
        in_time = (col(Accrual.period_to) >= start, col(Accrual.period_from) < end)
        found = select(Accrual).where(col(Accrual.subscription_id) == subscription_id, *in_time).limit(most + 1)
        rows = [told(accrual) for accrual in (await session.execute(found)).scalars()]
    if len(rows) > most:
        raise Refused("INVALID_DATA", f"more than {most} accruals: ask for a shorter period")
    document = statement(subscription_id, start, end, rows)
    if form == "csv" or (form is None and "text/csv" in request.headers.get("accept", "")):
        name = f'attachment; filename="statement-{subscription_id}-{period}.csv"'
        return Response(to_csv(document), media_type="text/csv", headers={"Content-Disposition": name})
    return JSONResponse(document)


async def _own_subscription(session: AsyncSession, subscription_id: int, customer_id: int) -> None:
    """Whose it is, the subscription says; of one that has ended, its accruals."""
    pair: Any = await session.get(Subscription, subscription_id)
    if pair is None:
        pair = (await session.execute(select(Accrual).where(col(Accrual.subscription_id) == subscription_id).limit(1))).scalar()
    if pair is None:
        raise Refused("RET_ERR_NOTFOUND", f"there is no subscription {subscription_id}")
    own = {account.login for account in await read_models.accounts_of(session, customer_id)}
    if not own & {pair.follower_login, pair.master_login}:
        raise Refused("PERMISSION_DENIED", f"subscription {subscription_id} is not yours")


def told(kept: Accrual) -> AccrualRow:
    """An accrual as rewards told it: the base with all its places, what was charged with its currency's."""
    fields = {name: getattr(kept, name) for name in AccrualRow._fields}
    return AccrualRow(**fields)._replace(
        base_amount=kept.base_exact,
        fee_amount=quantize(kept.fee_amount, minor_digits(kept.currency)),
        payout_amount=quantize(kept.payout_amount, minor_digits(kept.payout_currency)),
        state=AccrualState(kept.state),
    )


async def _listed(request: Request, at: At) -> JSONResponse:
    query = await query_of(request, LISTING.fields, FORMAT)
    own = own_logins(at.customer_id)
    related = or_(col(Accrual.follower_login).in_(own), col(Accrual.master_login).in_(own))
    return await answer(at.context, LISTING, select(Accrual).where(related), query)
