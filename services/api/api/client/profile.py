"""One master's page: its statistics in detail, its closed trades and its followers, as far as it shows them."""

import json
from datetime import datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import answers, filters, store, views
from api.client.lists import FORMAT, FORMATS, Listing, Options, answer, documented, query_of
from api.client.masters import DEFAULT_PERIOD, OPTIONS
from api.commands.subscriptions import is_invited
from api.door import FAILURES, At, CustomerRoute
from api.errors import Refused
from api.intake import INT64_MAX
from api.read_models import Deal, MasterStats
from api.store import Customer, Follower, Master, Subscription
from api.views import Json

router = APIRouter(prefix="/copytrade/master", tags=["masters"], route_class=CustomerRoute, responses=FAILURES)

Login = Annotated[int, Query(ge=1, le=INT64_MAX)]
OPTIONS_OF_TRADES: Options = {**FORMAT, "login": str}
FOLLOWERS = filters.fields_of(Subscription, ("follower_login", "status", "created_time"))
TRADES = Listing(filters.fields_of(Deal, views.TRADE), views.TRADE, col(Deal.deal))


@router.get("/stats", response_model=answers.DETAILED_STATS)
async def master_stats(login: Login, at: At, period: str = DEFAULT_PERIOD) -> Json:
    """Everything that is known of a master's trading and copying in a period; what is not defined is null."""
    period = OPTIONS["period"](period)
    async with at.context.store.read() as session:
        await visible_master(session, login, at.customer_id)
        row = await session.get_one(MasterStats, (login, period))
    details = json.loads(row.details) if row.details else {}
    plain = views.stats_view(row)
    days = days_until(row.updated_ms or at.context.store.clock(), row.period_days, ZoneInfo(at.context.settings.broker_timezone))
    history = [{"time": began, "pnl": pnl} for began, pnl in zip(days, plain["pnl_history"], strict=True)]
    named = {name: details.get(name) for name in ("weekly_trades", "avg_holding_time", "sortino_ratio")}
    return (
        plain
        | {"login": login, "followers": details.get("followers", 0), "sharp_ratio": details.get("sharpe_ratio")}
        | named
        | {"profit_per_symbol": details.get("profit_per_symbol", {}), "pnl_history": history, "details": details}
    )


@router.get("/trades", response_model=answers.Table | answers.Objects, openapi_extra=documented(FORMATS))
async def master_trades(request: Request, login: Login, at: At) -> Any:
    """A master's closings. Raises PERMISSION_DENIED unless the master shows them; its own customer always sees them."""
    query = await query_of(request, TRADES.fields, OPTIONS_OF_TRADES)
    async with at.context.store.read() as session:
        master = await visible_master(session, login, at.customer_id)
    if not master.show_trade_history and master.customer_id != at.customer_id:
        raise Refused("PERMISSION_DENIED", "this master does not show its trades")
    return await answer(at.context, TRADES, select(Deal).where(col(Deal.login) == login), query)


@router.get("/followers", response_model=answers.Objects, openapi_extra=documented({}))
async def master_followers(request: Request, login: Login, at: At) -> Any:
    """Who follows a master, the e-mail masked. Raises PERMISSION_DENIED unless the master shows them; its own customer always sees them."""
    query = await query_of(request, FOLLOWERS, {"login": str})
    async with at.context.store.read() as session:
        master = await visible_master(session, login, at.customer_id)
        if not master.show_followers and master.customer_id != at.customer_id:
            raise Refused("PERMISSION_DENIED", "this master does not show its followers")
        statement: Any = (
            select(Subscription, col(Customer.email))
            .join(Follower, col(Follower.login) == col(Subscription.follower_login))
            .outerjoin(Customer, col(Customer.id) == col(Follower.customer_id))
            .where(col(Subscription.master_login) == login)
        )
        found, count = await filters.page(session, statement, query, FOLLOWERS, col(Subscription.id))
    rows = [views.as_object(one, tuple(FOLLOWERS)) | {"email": masked(email or "")} for one, email in found]
    return JSONResponse({"rows": rows, "count": count})


async def visible_master(session: AsyncSession, login: int, customer_id: int, invite_code: str = "") -> Master:
    """A master that the customer may see, a private one by invitation. Raises Refused: MASTER_NOT_FOUND, MASTER_NOT_AVAILABLE."""
    master = await store.master_of(session, login)
    if master is None:
        raise Refused("MASTER_NOT_FOUND", f"account {login} is no master")
    public = master.visibility == "public" or await is_invited(session, master, invite_code)
    if master.customer_id != customer_id and not (master.enabled and public):
        raise Refused("MASTER_NOT_AVAILABLE", f"master {login} is not public")
    return master


def days_until(ms: int, count: int, zone: ZoneInfo) -> list[int]:
    """When the last days began (Unix seconds), until the one that an instant (milliseconds) is in: days of the broker's zone, by which the
    statistics are counted."""
    today = datetime.fromtimestamp(ms // 1000, zone).date()
    return [round(datetime.combine(today - timedelta(days=back), time(), zone).timestamp()) for back in reversed(range(count))]


def masked(email: str) -> str:
    """The first letter and the domain: enough to recognise oneself by."""
    name, at, domain = email.partition("@")
    return f"{name[:1]}***{at}{domain}" if email else ""
