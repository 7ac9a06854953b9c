"""The customer's session: logging in, and the accounts that it is for."""

import asyncio

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlmodel import col

from api import answers, auth, read_models, views
from api.auth import Actor
from api.bodies import LoginBody, OtpBody
from api.commands import otp
from api.context import Context
from api.door import FAILURES, At, CustomerRoute, OpenRoute, context_of
from api.errors import Refused
from api.store import Customer
from api.views import Json
from shared import visitors

open_router = APIRouter(prefix="/customer", tags=["session"], route_class=OpenRoute, responses=FAILURES)
router = APIRouter(prefix="/customer", tags=["session"], route_class=CustomerRoute, responses=FAILURES)


@open_router.post("/auth/login", response_model=answers.SIGNED_IN)
async def login(body: LoginBody, request: Request, response: Response) -> Json:
    """Profile, accounts and a session token for an e-mail and its password, and a one-time code where the customer has set that up.

    The token comes as a cookie, too, for a browser's EventSource; no other route takes it from there.
    """
    context = context_of(request)
    await context.spend_login(body.email, _address(context, request))
    began_s = context.now_s()
    async with context.store.read() as session:
        customer = (await session.execute(select(Customer).where(col(Customer.email) == body.email.lower()))).scalar_one_or_none()
    fits = await asyncio.to_thread(auth.check_password, customer.password_hash if customer else None, body.password)
    if customer is None or not fits:
        raise Refused("CUSTOMER_NOT_FOUND_OR_INCORRECT", "no customer has this e-mail and password")
    if not customer.enabled:
        raise Refused("CUSTOMER_DISABLED", "the customer is disabled")
    await _second_factor(context, customer, body.otp_code)
    # Of when the password was looked up: whoever changes it, or disables the customer, while it is checked ends this session, too. But no
    # older than what was ended before, whatever the clock said then.
    issued_s = max(began_s, customer.sessions_from_s)
    token = auth.issue_token(context.secret, auth.CUSTOMER, customer.id, issued_s, context.settings.session_ttl_s)
    lasts, secure = context.settings.session_ttl_s, context.settings.env == "production"
    response.set_cookie(auth.COOKIE, token, lasts, path=auth.COOKIE_PATH, httponly=True, secure=secure, samesite="strict")
    return profile(customer) | await _accounts(context, customer.id) | {"__token": token}


def _address(context: Context, request: Request) -> str:
    """Where a login comes from: who connects, or whom the console says that it speaks for."""
    secrets = (context.secret, *context.settings.former_secrets)
    told = visitors.handed_on(secrets, request.headers.get(visitors.HEADER, ""), context.now_s())
    return told or (request.client.host if request.client else "")


@router.get("/session/accounts", response_model=answers.ACCOUNTS)
async def session_accounts(at: At) -> Json:
    """The trading accounts of the session's customer."""
    return await _accounts(at.context, at.customer_id)


@router.get("/auth/otp", response_model=answers.Otp, response_model_exclude_none=True)
async def otp_status(at: At) -> Json:
    """Whether a second factor is on; while it is off, a fresh secret to set it up with."""
    return await at.context.write(at.actor, lambda change: otp.offer(change, at.context.vault))


@router.put("/auth/otp", response_model=answers.Otp, response_model_exclude_none=True)
async def otp_switch(body: OtpBody, at: At) -> Json:
    """Switches the second factor on or off, with a code of the device."""
    await at.context.spend_code(at.customer_id)
    return await at.write(lambda change: otp.switch(change, at.context.vault, body))


async def _second_factor(context: Context, customer: Customer, code: str | None) -> None:
    """Raises Refused: OTP_REQUIRED, OTP_NOT_CONFIGURED, INVALID_OTP_CODE. A code is good for one login."""
    if not customer.otp_enabled:
        if code is not None:
            raise Refused("OTP_NOT_CONFIGURED", "the customer has no second factor")
        return
    if code is None:
        raise Refused("OTP_REQUIRED", "a one-time code is needed")
    actor = Actor(auth.CUSTOMER, str(customer.id), customer.id)
    await context.write(actor, lambda change: otp.use(change, context.vault, code))


def profile(customer: Customer) -> Json:
    return {"id": customer.id, "email": customer.email, "name": customer.name, "otp_enabled": customer.otp_enabled}


async def _accounts(context: Context, customer_id: int) -> Json:
    async with context.store.read() as session:
        return {"accounts": [views.account_view(account) for account in await read_models.accounts_of(session, customer_id)]}
