"""The trade links of a customer's accounts."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import or_, select
from sqlmodel import col

from api import answers, filters, views
from api.client.lists import FORMAT, FORMATS, Listing, answer, documented, documented_search, own_logins, query_of
from api.door import FAILURES, At, CustomerRoute
from api.read_models import TradeLink

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


async def _listed(request: Request, at: At) -> JSONResponse:
    query = await query_of(request, LISTING.fields, FORMAT)
    own = own_logins(at.customer_id)
    related = or_(col(TradeLink.follower_login).in_(own), col(TradeLink.master_login).in_(own))
    return await answer(at.context, LISTING, select(TradeLink).where(related), query)
