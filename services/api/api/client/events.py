"""`GET /copytrade/events`: what changes for a customer, as server-sent events that can be resumed without loss.

id: 4711
event: link
data: {"id": 9, "state": 0, ...}
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlmodel import col

from api import news, views
from api.auth import COOKIE
from api.context import Context
from api.door import FAILURES, At, CustomerRoute
from api.errors import Refused
from api.news import Changed, Listener
from api.openapi.marks import Quote
from api.read_models import Account, Position
from api.views import Json, number
from api.worth import Market, Now, position_now

TICK_S = 1.0
"""How often prices, and what positions are worth at them, are told while they move."""
PAUSE_S = 0.1
"""Between two looks for changes: what comes in one breath is told in one."""
RETRY_MS = 2000
SYMBOLS_MAX = 100
NAMES = ("ready", "reset", "end", *(kind.name for kind in news.KINDS), "price", "profit")
EVENT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"type": "string", "enum": list(NAMES)}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
EVENTS = {"content": {"text/event-stream": {"schema": EVENT}}, "description": "The stream: `data` is JSON."}
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


class EventsRoute(CustomerRoute):
    """Takes the session from the `Authorization` header or, since an EventSource sends no headers, from the cookie of the login."""

    def token(self, request: Request) -> str:
        return super().token(request) or request.cookies.get(COOKIE, "")


router = APIRouter(prefix="/copytrade", tags=["events"], route_class=EventsRoute, responses=FAILURES)
EventId = Annotated[str, Header(alias="Last-Event-ID", description="The last `id` that was seen.")]
EventIdQuery = Annotated[str, Query(alias="last_event_id", description="The same, for clients that cannot send the header.")]
Symbols = Annotated[
    str, Query(max_length=4000, description="Symbols, comma-separated, whose prices are told besides those held; `*`: all.")
]
Follow = Annotated[int, Query(ge=0, le=1, description="0: the stream ends when all that is there was told.")]


@router.get("/events", response_class=StreamingResponse, responses={200: EVENTS})
async def events(
    request: Request, at: At, last_event_id: EventId = "", last_id: EventIdQuery = "", symbols: Symbols = "", follow: Follow = 1
) -> StreamingResponse:
    """The customer's accounts, positions, closings, trade links and accruals as they change, and prices while they move: `docs/events.md`.

    Raises Refused: INVALID_DATA for an id that is no number, TOO_MANY_REQUESTS beyond the streams that a customer may have open.
    """
    names = frozenset(name for name in symbols.split(",") if name)
    if len(names) > SYMBOLS_MAX:
        raise Refused("INVALID_DATA", f"symbols: at most {SYMBOLS_MAX}")
    stream = _Stream(at.context, at.customer_id, request.state.token, _seen(last_event_id or last_id), names, follow=bool(follow))
    told = stream.told()
    first = await anext(told)  # what is refused is refused before the answer begins

    async def body() -> AsyncIterator[str]:
        try:
            yield first
            async for text in told:
                yield text
        finally:
            await told.aclose()

    return StreamingResponse(body(), media_type="text/event-stream", headers=HEADERS)


class _Stream:
    """One customer's stream: where it is, and what it has told last of what is not numbered."""

    def __init__(self, context: Context, customer_id: int, token: str, seen: int | None, symbols: frozenset[str], *, follow: bool) -> None:
        self._context = context
        self._customer_id = customer_id
        self._token = token
        self._seen = seen
        self._symbols = symbols
        self._follow = follow
        self._market = Market(context, {})
        self._accounts: dict[int, Account] = {}
        self._positions: list[Position] = []
        self._quotes: dict[str, Quote] = {}
        self._profits: dict[int, Now] = {}

    async def told(self) -> AsyncGenerator[str, None]:
        """The stream's text, until it ends: with its session, with the service, or when it was not to be followed."""
        settings = self._context.settings
        async with self._context.hub.joined(self._customer_id) as listener:
            place, opening = await self._open(listener)
            yield opening
            spoken = checked = time.monotonic()
            while True:
                more = listener.woken.is_set()
                listener.woken.clear()
                while more:
                    text, place, more = await self._changes(listener, place)
                    if text:
                        yield text
                        spoken = time.monotonic()
                if text := self._moves():
                    yield text
                    spoken = time.monotonic()
                if not self._follow:
                    return
                if self._context.hub.closing:
                    yield _event("end", {"reason": "STOPPING"})
                    return
                if time.monotonic() - checked >= settings.events_check_s:
                    checked = time.monotonic()
                    if not await self._has_session():
                        yield _event("end", {"reason": "INVALID_CUSTOMER_SESSION"})
                        return
                if time.monotonic() - spoken >= settings.events_heartbeat_s:
                    yield ": still here\n\n"
                    spoken = time.monotonic()
                await asyncio.sleep(PAUSE_S)
                await listener.wait(min(TICK_S, settings.events_heartbeat_s, settings.events_check_s))

    async def _open(self, listener: Listener) -> tuple[int, str]:
        """Where the stream begins: at the number last seen, or now. Who cannot be told all since then is told to load anew."""
        async with self._context.store.read() as session:
            floor, last = await news.span(session)
            await self._look(session, listener)
        listener.woken.set()
        opening = f"retry: {RETRY_MS}\n\n"
        if self._seen is None:
            return last, opening + _event("ready", {"resumed": 0}, last)
        if floor <= self._seen <= last:
            return self._seen, opening + _event("ready", {"resumed": 1}, self._seen)
        return last, opening + _event("reset", {"reason": "NOT_KEPT"}, last)

    async def _changes(self, listener: Listener, place: int) -> tuple[str, int, bool]:
        """What changed since, where the stream is with it, and whether there is more."""
        async with self._context.store.read() as session:
            last = (await news.span(session)).last
            if last <= place:
                return "", place, False
            await self._look(session, listener)
            found, seen = await news.changes(session, sorted(listener.logins), place, last)
            return "".join(self._told(one) for one in found), seen, seen < last

    async def _look(self, session: Any, listener: Listener) -> None:
        """What the customer has now, and what the symbols are."""
        accounts = (await session.execute(select(Account).where(col(Account.customer_id) == self._customer_id))).scalars()
        self._accounts = {account.login: account for account in accounts}
        listener.logins = frozenset(self._accounts)
        self._positions = list((await session.execute(select(Position).where(col(Position.login).in_(listener.logins)))).scalars())
        self._market = await Market.of(self._context, session)

    def _told(self, one: Changed) -> str:
        data = views.as_object(one.row, one.kind.fields)
        if isinstance(one.row, Position):
            now = self._market.now(one.row, self._accounts.get(one.row.login), self._market.quotes())
            data |= position_now(one.row, now)
        return _event(one.kind.name, data, one.number)

    def _moves(self) -> str:
        """Prices that have moved, and what the positions are worth at them. Not numbered: the next ones are as good."""
        quotes = self._market.quotes()
        moved = {name for name, quote in quotes.items() if self._quotes.get(name) != quote}
        if not moved:
            return ""
        wanted = self._symbols | {position.symbol for position in self._positions}
        shown = moved if "*" in wanted else moved & wanted
        parts = [
            _event("price", {"symbol": name, "bid": number(quotes[name].bid), "ask": number(quotes[name].ask)}) for name in sorted(shown)
        ]
        profits = {}
        for position in self._positions:
            now = self._market.now(position, self._accounts.get(position.login), quotes)
            profits[position.order] = now
            if self._profits.get(position.order) != now:
                data = {"order": position.order, "login": position.login, "symbol": position.symbol}
                parts.append(_event("profit", data | {"mark_price": number(now.mark_price), "profit": number(now.profit)}))
        self._quotes, self._profits = quotes, profits
        return "".join(parts)

    async def _has_session(self) -> bool:
        try:
            await self._context.customer(self._token)
        except Refused:
            return False
        return True


def _seen(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused("INVALID_DATA", "Last-Event-ID is the id of an event")
    return int(text)


def _event(name: str, data: Json, event_id: int | None = None) -> str:
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
