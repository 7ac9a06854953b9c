"""What a customer's accounts hold now, with what it is worth at the latest prices."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import answers, filters, views
from api.client.lists import FORMAT, FORMATS, Listing, documented, documented_search, own_logins, query_of
from api.door import FAILURES, At, CustomerRoute
from api.read_models import Account, Position, Symbol
from api.views import Json
from api.worth import Market, position_now

router = APIRouter(prefix="/copytrade", tags=["positions"], route_class=CustomerRoute, responses=FAILURES)
LISTING = Listing(filters.fields_of(Position, views.POSITION), (*views.POSITION, *views.POSITION_NOW), col(Position.order))


@router.get("/positions", response_model=answers.Table | answers.Objects, openapi_extra=documented(FORMATS))
async def list_positions(request: Request, at: At) -> Any:
    """Open positions of the customer's accounts. A copy names its subscription and the master's order; `mark_price` is where it would be
    closed now, `profit` what that would make, before costs and in the account's currency (null while no price or rate is known)."""
    return await _listed(request, at)


@router.post("/positions/search", response_model=answers.Table | answers.Objects, openapi_extra=documented_search(FORMATS))
async def search_positions(request: Request, at: At) -> Any:
    """The same list, with the filter as a JSON body."""
    return await _listed(request, at)


@router.get("/symbols", response_model=answers.SYMBOLS)
async def list_symbols(at: At) -> Json:
    """What can be traded: places of prices, volumes in integer units with `volume_per_lot` of them a lot, and the latest prices."""
    async with at.context.store.read() as session:
        rows = (await session.execute(select(Symbol).order_by(col(Symbol.symbol)))).scalars().all()
    found = [views.as_object(row, views.SYMBOL) for row in rows]
    for row in found:
        latest = at.context.prices.get(row["symbol"])
        if latest is not None:
            row |= {"bid": views.number(latest.bid), "ask": views.number(latest.ask)}
    return {"rows": found, "count": len(found)}


async def _listed(request: Request, at: At) -> JSONResponse:
    query = await query_of(request, LISTING.fields, FORMAT)
    statement = select(Position).where(col(Position.login).in_(own_logins(at.customer_id)))
    async with at.context.store.read() as session:
        rows, count = await filters.page(session, statement, query, LISTING.fields, LISTING.key)
        found = await shown(session, await Market.of(at.context, session), [row[0] for row in rows])
    if query.options.get("format") == "objects":
        return JSONResponse({"rows": found, "count": count})
    return JSONResponse({"structure": list(LISTING.structure), "rows": [list(one.values()) for one in found], "count": count})


async def shown(session: AsyncSession, market: Market, positions: list[Position]) -> list[Json]:
    """The positions with what they are worth."""
    logins = {position.login for position in positions}
    accounts = {row.login: row for row in (await session.execute(select(Account).where(col(Account.login).in_(logins)))).scalars()}
    quotes = market.quotes()
    return [
        views.as_object(position, views.POSITION) | position_now(position, market.now(position, accounts.get(position.login), quotes))
        for position in positions
    ]
