"""The trade links of a customer's accounts."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from shared.explain import explain
from sqlalchemy import or_, select
from sqlmodel import col

from api import answers, filters, read_models, views
from api.client.lists import FORMAT, FORMATS, Listing, answer, documented, documented_search, own_logins, query_of
from api.client.masters import RecordId
from api.door import FAILURES, At, CustomerRoute
from api.errors import Refused
from api.read_models import TradeLink
from api.views import Json

router = APIRouter(prefix="/copytrade", tags=["trade-links"], route_class=CustomerRoute, responses=FAILURES)
LISTING = Listing(filters.fields_of(TradeLink, views.LINK), views.LINK, col(TradeLink.id))


@router.get("/trade-links", response_model=answers.Table | answers.Objects, openapi_extra=documented(FORMATS))
async def list_links(request: Request, at: At) -> Any:
    """Copies of the customer's accounts, as follower or as master: open, closed, refused, and skipped with the reason."""
    return await _listed(request, at)


@router.post("/trade-links/search", response_model=answers.Table | answers.Objects, openapi_extra=documented_search(FORMATS))
async def search_links(request: Request, at: At) -> Any:
    """The same list, with the filter as a JSON body."""
    return await _listed(request, at)


@router.get("/trade-links/{id}/explain", response_model=answers.Explanation)
async def explain_link(record: RecordId, at: At) -> Json:
    """What was decided and why, in words, with everything that it was decided from. Open to the follower and to the master, who is not
    told what money the follower has. Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED."""
    async with at.context.store.read() as session:
        link = await session.get(TradeLink, record)
        if link is None:
            raise Refused("RET_ERR_NOTFOUND", f"there is no trade link {record}")
        own = {account.login for account in await read_models.accounts_of(session, at.customer_id)}
        if not own & {link.follower_login, link.master_login}:
            raise Refused("PERMISSION_DENIED", f"trade link {record} is not yours")
        recorded = await read_models.common_inputs(session, link)
    return explain(read_models.decided(link), recorded, own_money=link.follower_login in own)


async def _listed(request: Request, at: At) -> JSONResponse:
    query = await query_of(request, LISTING.fields, FORMAT)
    own = own_logins(at.customer_id)
    related = or_(col(TradeLink.follower_login).in_(own), col(TradeLink.master_login).in_(own))
    return await answer(at.context, LISTING, select(TradeLink).where(related), query)
