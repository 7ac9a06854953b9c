"""A small world for tests of the api's doors: a real store, accounts as the venue would tell them, and clients over ASGI."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from api import auth, flow
from api.app import create_app
from api.context import Context
from api.door import Limits
from api.settings import Settings
from argon2 import PasswordHasher
from fastapi import FastAPI
from shared.bus.reader import Received
from shared.contracts.config import TOPIC
from shared.contracts.event import Event
from shared.contracts.trades import AccountRow, AccountsOpened
from shared.store.engine import create_engine
from shared.store.work import Store
from sqlalchemy import text
from starlette.datastructures import State

from tests.stores import quick, store_url

NOW_MS = 1_778_160_000_000
SECRET = "lockstep-demo-secret-not-for-production"
ALICE, BOB, EVE = 7, 8, 9
MASTER_LOGIN, FOLLOWER_LOGIN, DEMO_LOGIN, BOB_LOGIN = 100001, 100002, 100003, 200001
PERFORMANCE = {"reward_type": 1, "billing_period": "monthly", "fee_percent": 20, "hwm_enabled": 1}
MASTER = {"login": MASTER_LOGIN, "strategy_name": "Conservative FX", "visibility": "public", "reward_policy": PERFORMANCE}
SUBSCRIPTION = {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN}
SPEC_1_SUBSCRIPTION = {
    **SUBSCRIPTION,
    "enabled": 1,
    "status": 0,
    "copy_mode": 0,
    "volume_mode": 1,
    "risk_multiplier": 1,
    "fixed_volume": 0,
    "copy_sl": 1,
    "copy_tp": 1,
    "copy_partial_close": 1,
    "copy_pending_orders": 0,
    "copy_existing_positions": 0,
    "reverse_direction": 0,
    "max_volume": 0,
    "min_volume": 0,
    "max_positions": 0,
    "symbols_mode": 0,
    "symbols": "",
}
"""The payload of specification 1, for Bob."""
auth._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # slow on purpose elsewhere


class World:
    """The api under test, and what is needed to talk to it."""

    def __init__(self, store: Store, settings: Settings, app: FastAPI) -> None:
        self.store = store
        self.settings = settings
        self.app = app
        self.context: Context = app.state.context
        self.now = NOW_MS
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api")

    def token(self, kind: str, subject: str | int) -> str:
        return auth.issue_token(SECRET, kind, subject, self.now // 1000, 3600)

    def customer(self, customer_id: int) -> dict[str, str]:
        return {"Authorization": self.token(auth.CUSTOMER, customer_id)}

    def manager(self, kind: str = auth.MANAGER) -> dict[str, str]:
        return {"Authorization": self.token(kind, "ops")}

    async def call(self, who: int | str | None, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """A request as a customer (a number), a manager (a kind of session) or nobody."""
        headers = {} if who is None else self.customer(who) if isinstance(who, int) else self.manager(who)
        headers |= more.pop("headers", {})
        return await self.http.request(method, path, headers=headers, json=body, **more)

    async def good(self, who: int | str | None, method: str, path: str, body: Any = None, **more: Any) -> Any:
        response = await self.call(who, method, path, body, **more)
        assert response.status_code == 200, response.text
        return response.json()

    async def told(self, topic_handler: Any, *events: Event) -> None:
        """Events of another service, handled as the reader would."""
        async with self.store.work() as work:
            await topic_handler(Received("stream", 1, "test", self.now, events), work)

    async def open_account(self, login: int, customer_id: int, mode: str = "REAL", currency: str = "USD", **more: Any) -> None:
        row = account(login, customer_id, mode, currency)._replace(**more)
        await self.told(flow.on_trades, AccountsOpened.of([row], time=self.now))

    async def config_events(self) -> list[dict[str, Any]]:
        """Everything that was written to copy.config so far."""
        async with self.store.read() as session:
            rows = await session.execute(text("SELECT payload FROM log_outbox WHERE stream = :topic ORDER BY number"), {"topic": TOPIC})
            return [event for (payload,) in rows for event in json.loads(payload)["events"]]

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table (with a condition, or an order of its own, if it has any), by their first column."""
        order = "" if "ORDER BY" in table else "ORDER BY 1"
        async with self.store.read() as session:
            return [dict(row._mapping) for row in await session.execute(text(f"SELECT * FROM {table} {order}"))]

    async def pair(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Alice's public master, and Bob's follower."""
        master = await self.good(ALICE, "POST", "/copytrade/master", MASTER)
        follower = await self.good(BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN})
        return master, follower


def account(login: int, customer_id: int, mode: str = "REAL", currency: str = "USD") -> AccountRow:
    money = Decimal("10000.00")
    group = f"{mode.lower()}-{currency.lower()}"
    return AccountRow(login, customer_id, group, mode, currency, 100, money, Decimal(0), money, Decimal(0), money, 0)  # type: ignore[arg-type]


@cache
def routes() -> FastAPI:
    """An app whose routes the worlds share: to make them takes a third of a second, and they know nothing but the request's own app."""
    return create_app(Store(create_engine("sqlite:///:memory:"), "api", lambda: NOW_MS), Settings())


def app_of(store: Store, settings: Settings) -> FastAPI:
    """The app as `create_app` makes it for this store and these settings."""
    app = copy(routes())
    app.state = State({"context": Context(store, settings)})
    app.middleware_stack = None
    app.user_middleware = []
    app.add_middleware(Limits, body_max_bytes=settings.body_max_bytes, body_timeout_s=settings.body_timeout_s)
    return app


@asynccontextmanager
async def open_world(folder: Path, url: str = "", **settings: Any) -> AsyncIterator[World]:
    """Alice has a real, a second real and a demo account, Bob a real one; Eve has nothing."""
    url = url or store_url("api", folder)
    values: dict[str, Any] = {"home": folder, "account_wait_s": 0, "rate_limit": "100000/minute", "secret": SECRET} | settings
    told = Settings(**values)
    clock: list[World] = []
    store = Store(quick(create_engine(url)), "api", lambda: clock[0].now if clock else NOW_MS, {TOPIC: TOPIC}, serial=False)
    await store.open()
    world = World(store, told, app_of(store, told))
    clock.append(world)
    for login, customer_id, mode in ((MASTER_LOGIN, ALICE, "REAL"), (FOLLOWER_LOGIN, ALICE, "REAL"), (DEMO_LOGIN, ALICE, "DEMO")):
        await world.open_account(login, customer_id, mode)
    await world.open_account(BOB_LOGIN, BOB)
    try:
        yield world
    finally:
        await world.http.aclose()
        await store.engine.dispose()
