"""Customers who log in here: a broker's back office makes them."""

import asyncio
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select, text
from sqlmodel import col

from api import auth
from api.bodies import Body, Email, Flag, Id, Password, Stamp
from api.commands.change import Change
from api.errors import Refused
from api.store import Customer
from api.views import Json, as_object

ID_MAX = 10**18
"""What is given by hand: the store counts on from there, and needs room to."""
FIELDS = ("id", "email", "name", "enabled", "otp_enabled", "created_time", "updated_time")


class CustomerCreate(Body):
    """`id` is the broker's own number of the customer; without it, the next one is taken."""

    id: Annotated[Id, Field(le=ID_MAX)] | None = None
    email: Email
    password: Password
    name: str = ""


class CustomerUpdate(Body):
    """Fields that are left out stay. A new password, and disabling, end the customer's sessions."""

    id: Id
    email: Email | None = None
    password: Password | None = None
    name: str | None = None
    enabled: Flag | None = None
    reset_otp: Flag = 0
    updated_time: Stamp | None = None


async def create(change: Change, body: CustomerCreate) -> Json:
    """Raises Refused(CUSTOMER_ALREADY_EXISTS)."""
    await _email_free(change, body.email)
    if body.id is not None and await change.session.get(Customer, body.id) is not None:
        raise Refused("CUSTOMER_ALREADY_EXISTS", f"there is a customer {body.id}")
    now = change.work.now
    password_hash = await asyncio.to_thread(auth.hash_password, body.password)
    values: Any = {"id": body.id} if body.id is not None else {}
    customer = Customer(email=body.email.lower(), name=body.name, password_hash=password_hash, created_ms=now, updated_ms=now, **values)
    change.session.add(customer)
    await change.session.flush()
    if body.id is not None:
        await _next_id_above(change, body.id)
    change.record("create", customer, None, as_object(customer, FIELDS), customer.id)
    return as_object(customer, FIELDS)


async def update(change: Change, body: CustomerUpdate) -> Json:
    """Raises Refused: RET_ERR_NOTFOUND, CUSTOMER_ALREADY_EXISTS, CONFLICT."""
    customer = await change.session.get(Customer, body.id)
    if customer is None:
        raise Refused("RET_ERR_NOTFOUND", f"there is no customer {body.id}")
    if body.updated_time is not None and customer.updated_ms // 1000 != body.updated_time:
        raise Refused("CONFLICT", f"the record was changed at {customer.updated_ms // 1000}")
    before = as_object(customer, FIELDS)
    if body.email is not None and body.email.lower() != customer.email:
        await _email_free(change, body.email)
        customer.email = body.email.lower()
    if body.password is not None:
        customer.password_hash = await asyncio.to_thread(auth.hash_password, body.password)
    customer.name = customer.name if body.name is None else body.name
    customer.enabled = customer.enabled if body.enabled is None else body.enabled
    if body.reset_otp:
        customer.otp_enabled, customer.otp_sealed = 0, ""
    customer.updated_ms = change.work.now
    if body.password is not None or body.enabled == 0:
        customer.sessions_from_s = change.work.now // 1000 + 1
    seen = as_object(customer, FIELDS)
    told = seen | {"password": "changed"} if body.password is not None else seen
    change.record("update", customer, before, told, customer.id)
    return seen


async def _email_free(change: Change, email: str) -> None:
    if (await change.session.execute(select(col(Customer.id)).where(col(Customer.email) == email.lower()))).scalar() is not None:
        raise Refused("CUSTOMER_ALREADY_EXISTS", "a customer has this e-mail")


async def _next_id_above(change: Change, used: int) -> None:
    """Postgres counts on from its sequence, not from the highest id: an id that was given by hand moves it."""
    if change.session.get_bind().dialect.name == "postgresql":
        statement = "SELECT setval(pg_get_serial_sequence('customer', 'id'), greatest(:used, (SELECT max(id) FROM customer)))"
        await change.session.execute(text(statement), {"used": used})
