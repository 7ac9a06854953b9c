"""The reward accruals of a customer's accounts."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import or_, select
from sqlmodel import col

from api import answers, filters, views
from api.client.lists import FORMAT, FORMATS, Listing, answer, documented, documented_search, own_logins, query_of
from api.door import FAILURES, At, CustomerRoute
from api.read_models import Accrual

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


async def _listed(request: Request, at: At) -> JSONResponse:
    query = await query_of(request, LISTING.fields, FORMAT)
    own = own_logins(at.customer_id)
    related = or_(col(Accrual.follower_login).in_(own), col(Accrual.master_login).in_(own))
    return await answer(at.context, LISTING, select(Accrual).where(related), query)
