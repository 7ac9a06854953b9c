"""A paper venue on a real store, with a clock that stands still, its HTTP door, and everything that it tells."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from gateway.flow import reads
from gateway.paper import balances
from gateway.paper.balances import Movement
from gateway.paper.http import add_routes
from gateway.paper.market import GROUPS, Symbol
from gateway.paper.venue import PaperVenue
from gateway.settings import GatewaySettings, SymbolOverride
from gateway.store import METADATA
from shared.bus.reader import Received
from shared.contracts.event import Event
from shared.contracts.orders import CloseCopies, CloseRow, OpenCopies, OpenRow, PlaceCopies, PlaceRow
from shared.contracts.trades import TRADE_EVENTS
from shared.store import migrate, outbox
from shared.store.engine import create_engine
from shared.store.work import Store
from sqlalchemy import select

from tests.stores import quick, store_url

NOON = 1_330_000_200_000  # 2012-02-23 12:30 UTC
D = Decimal
NONE = D(0)


class GatewayWorld:
    """One gateway: its handlers called in transactions of the store, its door called over ASGI."""

    def __init__(self, url: str, symbols: Mapping[str, Symbol]) -> None:
        self.now = NOON
        self.url = url
        self.symbols = symbols
        self.read_upto = 0
        self.number = 0

    async def start(self) -> None:
        """Starts the service, for the first time or again on the same store."""
        self.store = Store(quick(create_engine(self.url)), "gateway", lambda: self.now, {"trade.push": "trade.push"})
        await self.store.open()
        self.venue = PaperVenue(self.store, self.symbols)
        self.store.on_rollback.append(self.venue.forget)
        await self.venue.prepare()
        self.handlers = {topic: read.handler for topic, read in reads(self.venue).items()}
        self.app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        add_routes(self.app, self.venue)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url="http://venue")

    async def stop(self) -> None:
        await self.http.aclose()
        await self.store.engine.dispose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def handle(self, topic: str, *events: Event, lost: Any = None) -> None:
        """One entry of a topic, handled in a transaction of its own."""
        self.number += 1
        async with self.store.work() as work:
            await self.handlers[topic](Received(topic, self.number, "test", self.now, events, lost), work)

    async def told(self, *, symbols: bool = False) -> list[Any]:
        """What was told on trade.push since the last time, event by event; of symbols and their prices only when asked."""
        async with self.store.read() as session:
            entries = await outbox.kept(session, "trade.push", self.read_upto + 1, 10_000)
        self.read_upto = entries[-1].number if entries else self.read_upto
        events = [TRADE_EVENTS.validate_python(event) for entry in entries for event in json.loads(entry.payload)["events"]]
        return [event for event in events if symbols or event.type != "symbol.changed"]

    async def told_rows(self) -> dict[str, list[Any]]:
        """The rows told since the last time, by event type."""
        rows: dict[str, list[Any]] = {}
        for event in await self.told():
            rows.setdefault(event.type, []).extend(event.rows)
        return rows

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call that has to succeed."""
        answer = await self.http.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text, parse_float=Decimal)

    async def refused(self, method: str, path: str, body: Any = None, *, content: bytes | None = None) -> tuple[int, str]:
        """A call that has to be refused, with nothing changed by it: status and code."""
        before = await self.tables()
        answer = (
            await self.http.request(method, path, content=content)
            if content is not None
            else await self.http.request(method, path, json=body)
        )
        assert answer.status_code >= 400, answer.text
        assert set(answer.json()) == {"error", "message"}
        assert await self.tables() == before
        return answer.status_code, answer.json()["error"]

    async def account(self, balance: int = 10_000, group: str = "real-usd", leverage: int = 100) -> int:
        body = {"customer_id": 1, "group": group, "balance": balance, "leverage": leverage}
        return int((await self.call("POST", "/accounts", body))["login"])

    async def accounts(self, count: int, balance: int = 10_000, group: str = "real-usd") -> list[int]:
        """Accounts that are there already: opened together, and told before."""
        async with self.venue.transaction() as (book, _):
            logins = []
            for customer in range(1, count + 1):
                account = balances.open_account(book, customer, GROUPS[group], 100)
                balances.move(book, account, Movement("OP_BALANCE_IN", D(balance), "TR_REASON_DEPOSIT"))
                logins.append(account.login)
        await self.told()
        return logins

    async def order(self, login: int, side: str = "buy", volume: int = 10, symbol: str = "GBPUSD", **more: Any) -> int:
        body = {"login": login, "symbol": symbol, "side": side, "volume": volume} | more
        return int((await self.call("POST", "/orders", body))["order"])

    async def price(self, bid: str, ask: str, symbol: str = "GBPUSD") -> None:
        answer = await self.http.put(f"/prices/{symbol}", content=f'{{"bid":{bid},"ask":{ask}}}')
        assert answer.status_code == 200, answer.text

    async def tables(self) -> dict[str, list[Any]]:
        """Everything in the store."""
        async with self.store.read() as session:
            return {
                name: sorted(map(tuple, (await session.execute(select(table))).all()), key=repr) for name, table in METADATA.tables.items()
            }


@asynccontextmanager
async def gateway_world(folder: Path, url: str = "", **symbols: Mapping[str, Any]) -> AsyncIterator[GatewayWorld]:
    """A running venue; keyword arguments override symbols (`GBPUSD={"commission": 7}`)."""
    overrides = {name: SymbolOverride(**values) for name, values in symbols.items()}
    if url:
        migrate.upgrade("gateway", url)
    world = GatewayWorld(url or store_url("gateway", folder), GatewaySettings(venue_symbols=overrides).symbols())
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


def open_copies(logins: list[int], master_order: int = 7, **row: Any) -> OpenCopies:
    """A copy of one master order for each login, under subscription ids 1, 2, ..."""
    table = {"symbol": "GBPUSD", "master_login": 99} | {name: row.pop(name) for name in ("symbol", "master_login") if name in row}
    values = {"side": "buy", "volume": 10, "sl": NONE, "tp": NONE, "worst_price": NONE} | row
    rows = [OpenRow(link=place, login=login, subscription=place, **values) for place, login in enumerate(logins, 1)]
    return OpenCopies.of(rows, master_order=master_order, price=D("1.5757"), **table)


def close_copies(login: int, volume: int, *, order: int = 0, step: int = 1, subscription: int = 1, master_order: int = 7) -> CloseCopies:
    return CloseCopies.of([CloseRow(0, login, order, volume, subscription, step)], master_order=master_order, reason="MASTER_CLOSED")


def place_copies(logins: list[int], kind: Any = "limit", price: str = "1.5", expires_ms: int = 0, **row: Any) -> PlaceCopies:
    values = {"side": "buy", "volume": 10, "price": D(price), "limit_price": NONE, "sl": NONE, "tp": NONE} | row
    rows = [PlaceRow(link=n, login=login, subscription=n, **values) for n, login in enumerate(logins, 1)]
    return PlaceCopies.of(rows, master_order=7, master_login=99, symbol="GBPUSD", kind=kind, expires_ms=expires_ms)
