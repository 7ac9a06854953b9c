"""The paper venue's HTTP door: the core trading API that a customer's terminal, a test or the demo's robots use."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

from fastapi import FastAPI, Request, Response
from shared.contracts.event import TableEvent
from shared.contracts.trades import (
    OP_BALANCE_IN,
    OP_BALANCE_OUT,
    REASON_CLIENT,
    REASON_COPY_REWARD,
    REASON_DEPOSIT,
    PendingPlaced,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
)
from shared.ids import COPY_PREFIX, REWARD_PREFIX
from shared.store.engine import AWAY
from starlette.exceptions import HTTPException

from gateway import decide
from gateway import store as tables
from gateway.decide import Quote, Refused
from gateway.paper import balances, orders, views
from gateway.paper.balances import Movement
from gateway.paper.book import Book
from gateway.paper.deals import Opening, close_position, open_position
from gateway.paper.market import GROUPS
from gateway.paper.orders import Placing
from gateway.paper.records import Account, Answer, Pending, Position
from gateway.paper.told import kind_of, row_again, row_json
from gateway.paper.venue import PaperVenue
from gateway.paper.wire import (
    BalanceBody,
    Body,
    ChangeBody,
    CloseBody,
    Fault,
    NewAccount,
    NewOrder,
    PriceBody,
    answer,
    body_of,
    invalid,
    json_text,
    path_number,
)

NOT_FOUND = {
    decide.ACCOUNT_NOT_FOUND,
    decide.ORDER_NOT_FOUND,
    decide.SYMBOL_NOT_FOUND,
}
MARGIN_TYPES = views.MARGIN_TYPES
OURS = (f"{COPY_PREFIX}-", f"{REWARD_PREFIX}-")
VIEWS: dict[type[TableEvent], Callable[[Any], dict[str, Any]]] = {
    PositionsOpened: views.opened_view,
    PendingPlaced: views.placed_view,
    PositionsReduced: views.closed_view,
    PositionsClosed: views.closed_view,
}


def fault_of(refused: Refused) -> Fault:
    """A refusal as HTTP tells it: 404 for what does not exist, 400 with the venue's reason otherwise."""
    reason = decide.ORDER_NOT_FOUND if refused.reason == decide.POSITION_NOT_FOUND else refused.reason
    return Fault(404 if reason in NOT_FOUND else 400, reason, refused.message)


def add_routes(app: FastAPI, venue: PaperVenue) -> None:
    """Architecture.md section 7: each call is one transaction; what is refused changes nothing."""
    door = Door(venue)
    routes: list[tuple[str, str, Callable[..., Awaitable[Response]]]] = [
        ("POST", "/accounts", door.open_account),
        ("GET", "/accounts/{login}", door.account),
        ("GET", "/accounts/{login}/history", door.history),
        ("POST", "/accounts/{login}/balance", door.balance),
        ("POST", "/orders", door.order),
        ("POST", "/orders/{order}/close", door.close),
        ("PUT", "/orders/{order}", door.change),
        ("DELETE", "/orders/{order}", door.cancel),
        ("PUT", "/prices/{symbol}", door.price),
        ("GET", "/symbols", door.symbols),
    ]
    for method, path, handler in routes:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    app.add_exception_handler(Fault, _on_fault)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for away in AWAY:
        app.add_exception_handler(away, _on_store_away)
    app.add_exception_handler(Exception, _on_bug)


class Door:
    """The routes' handlers."""

    def __init__(self, venue: PaperVenue) -> None:
        self._venue = venue

    async def open_account(self, request: Request) -> Response:
        """Opens an account, with a first deposit when `balance` is not 0."""
        want = await body_of(request, NewAccount)
        group = GROUPS.get(want.group)
        if group is None:
            raise invalid(f"group: one of {', '.join(GROUPS)}")
        if want.balance:
            _done(balances.amount_fault(group.currency, want.balance))  # before there is an account that would have to go again
        async with self._venue.transaction() as (book, _):
            account = balances.open_account(book, want.customer_id, group, want.leverage)
            if want.balance:
                _done(balances.move(book, account, Movement(OP_BALANCE_IN, want.balance, REASON_DEPOSIT)))
            view = views.account_view(book, account)
        return answer(view)

    async def account(self, login: str) -> Response:
        number = path_number(login)
        async with self._venue.transaction(lazy=True) as (book, _):
            found = book.account(number)
            view = views.account_view(book, found) if isinstance(found, Account) else None
        return answer(view if view is not None else _done(found))

    async def history(self, login: str) -> Response:
        """All deals and balance operations of an account, oldest first."""
        number = path_number(login)
        async with self._venue.store.read() as session:
            deals = await _texts(tables.deals(session, number), views.deal_view)
            operations = await _texts(tables.operations(session, number), views.operation_view)
        if not deals and not operations:
            async with self._venue.transaction(lazy=True) as (book, _):
                found = book.account(number)
            _done(found)
        return Response(f'{{"deals":[{",".join(deals)}],"operations":[{",".join(operations)}]}}', media_type="application/json")

    async def balance(self, request: Request, login: str) -> Response:
        """A deposit or a withdrawal."""
        number, want = path_number(login), await body_of(request, BalanceBody)
        if want.reason == REASON_COPY_REWARD:
            raise invalid(f"reason: {REASON_COPY_REWARD} is for settlements alone")
        operation = OP_BALANCE_IN if want.amount > 0 else OP_BALANCE_OUT
        async with self._venue.transaction() as (book, _):
            account = book.account(number)
            done: Any = account
            if isinstance(account, Account):
                done = balances.move(book, account, Movement(operation, abs(want.amount), want.reason))
            view = None if isinstance(done, Refused) else views.account_view(book, book.accounts[number])
        return answer(view if view is not None else _done(done))

    async def order(self, request: Request) -> Response:
        """A market order is filled at once; a limit, stop or stop-limit order waits."""
        want = await body_of(request, NewOrder)
        return await self._once(f"{want.login}", want.client_id, "order", want, lambda book: _order(book, want))

    async def close(self, request: Request, order: str) -> Response:
        """Closes a position, or a part of it."""
        number, want = path_number(order), await body_of(request, CloseBody, optional=True)
        return await self._once(f"o{number}", want.client_id, f"close {number}", want, lambda book: _close(book, number, want))

    async def change(self, request: Request, order: str) -> Response:
        """Changes the stops of a position, or a pending order."""
        number, want = path_number(order), await body_of(request, ChangeBody)
        if not want.model_fields_set:
            raise invalid("there is nothing to change")
        async with self._venue.transaction() as (book, _):
            done = _change(book, number, want)
        return answer(_done(done))

    async def cancel(self, order: str) -> Response:
        """Cancels a pending order."""
        number = path_number(order)
        async with self._venue.transaction() as (book, _):
            done = _cancel(book, number)
        return answer(_done(done))

    async def price(self, request: Request, symbol: str) -> Response:
        """Sets a price and does what it sets off. The feed leaves the symbol alone from then on, until the next start.

        Accounts whose equity it moves are told at once: the next trade is sized on what they have now.
        """
        want = await body_of(request, PriceBody)
        async with self._venue.transaction() as (book, _):
            done = _set_price(book, symbol, Quote(want.bid, want.ask))
            for login in () if isinstance(done, Refused) else book.moved_accounts():
                book.told.touch(login)
        if not isinstance(done, Refused):
            self._venue.paused.add(symbol)
        return answer(_done(done))

    async def symbols(self) -> Response:
        async with self._venue.transaction(lazy=True) as (book, _):
            view = [views.symbol_view(book, name) for name in book.market.symbols]
        return answer(view)

    async def _once(
        self,
        scope: str,
        client_id: str | None,
        action: str,
        body: Body,
        act: Callable[[Book], tuple[type[TableEvent], Any] | Refused],
    ) -> Response:
        """Carries an order out; under a client's own id once, with the same answer when it is asked again."""
        if client_id is not None and client_id.startswith(OURS):
            raise invalid(f"client_id: ids that begin with {' or '.join(OURS)} are the copier's own")
        key = f"h-{scope}-{client_id}"
        asked = f"{action} {body.model_dump_json()}"
        async with self._venue.transaction() as (book, work):
            known = (await tables.answers(work.session, [key])).get(key) if client_id is not None else None
            if known is not None and known.request != asked:
                done: tuple[type[TableEvent], Any] | Refused = Refused(decide.INVALID_DATA, "client_id: it was used for another request")
            elif known is not None:
                done = row_again(known.kind, known.row)
                book.changes.asked_again.add(key)
            else:
                done = act(book)
                if client_id is not None and not isinstance(done, Refused):
                    book.changes.answers[key] = Answer(key, kind_of(done[0]), row_json(done[1]), asked)
        if isinstance(done, Refused):
            raise fault_of(done)
        event, row = done
        return answer(VIEWS[event](row))


async def _texts(parts: AsyncIterator[list[Any]], view: Callable[[Any], dict[str, Any]]) -> list[str]:
    """The JSON of rows, part by part, made in a thread: of a hundred thousand it takes seconds."""

    def text(part: list[Any]) -> str:
        return ",".join(json_text(view(row)) for row in part)

    return [await asyncio.to_thread(text, part) async for part in parts]


def _done(result: Any) -> Any:
    if isinstance(result, Refused):
        raise fault_of(result)
    return result


def _order(book: Book, want: NewOrder) -> tuple[type[TableEvent], Any] | Refused:
    account = book.account(want.login)
    if isinstance(account, Refused):
        return account
    fault = (
        book.forbidden(want.login) or _off_grid(book, want.symbol, want.price, want.limit_price, want.sl, want.tp) or _misfit(book, want)
    )
    if fault is not None:
        return fault
    client_id = want.client_id or ""
    if want.type == "market":
        opening = Opening(
            *(want.symbol, want.side, want.volume, want.sl, want.tp, client_id, REASON_CLIENT),
            leverage=want.leverage,
            margin_type=MARGIN_TYPES.index(want.margin_type),
        )
        opened = open_position(book, account, opening)
        return opened if isinstance(opened, Refused) else (PositionsOpened, opened)
    placing = Placing(
        symbol=want.symbol,
        side=want.side,
        kind=want.type,
        volume=want.volume,
        price=want.price,
        limit_price=want.limit_price,
        sl=want.sl,
        tp=want.tp,
        expires_ms=want.expiration * 1000,
        client_id=client_id,
        reason=REASON_CLIENT,
        leverage=want.leverage,
        margin_type=MARGIN_TYPES.index(want.margin_type),
    )
    placed = orders.place(book, account, placing)
    return placed if isinstance(placed, Refused) else (PendingPlaced, placed)


def _misfit(book: Book, want: NewOrder) -> Refused | None:
    """INVALID_DATA for fields that an order of its type does not have, or lacks."""
    if (want.type == "market") != (want.price == 0):
        return Refused(decide.INVALID_DATA, "price: a pending order needs one, a market order has none")
    if (want.type == "stop_limit") != (want.limit_price != 0):
        return Refused(decide.INVALID_DATA, "limit_price: a stop-limit order needs one, others have none")
    if want.expiration and (want.type == "market" or want.expiration * 1000 <= book.now):
        return Refused(decide.INVALID_DATA, "expiration: a pending order may have one, in the future")
    return None


def _close(book: Book, number: int, want: CloseBody) -> tuple[type[TableEvent], Any] | Refused:
    position = book.positions.get(number)
    if position is None:
        return Refused(decide.ORDER_NOT_FOUND, f"{number} is no open position")
    fault = book.forbidden(position.login, position.copied)
    if fault is not None:
        return fault
    symbol = book.market.symbols[position.symbol]
    volume = position.volume if want.volume is None else want.volume
    left = position.volume - volume
    if left and (left < symbol.volume_min or volume % symbol.volume_step):
        return Refused(decide.INVALID_VOLUME, f"of {position.volume}, {volume} cannot be closed")
    row = close_position(book, position, volume, REASON_CLIENT, want.client_id or "")
    return (PositionsReduced if row.left else PositionsClosed), row


def _change(book: Book, number: int, want: ChangeBody) -> dict[str, Any] | Refused:
    order = book.positions.get(number) or book.pending.get(number)
    if order is None:
        return Refused(decide.ORDER_NOT_FOUND, f"{number} is neither an open position nor a pending order")
    fault = book.forbidden(order.login, order.copied) or _off_grid(book, order.symbol, want.price, want.limit_price, want.sl, want.tp)
    if fault is not None:
        return fault
    given = want.model_dump(include=want.model_fields_set)
    if isinstance(order, Position):
        if given.keys() - {"sl", "tp"}:
            return Refused(decide.INVALID_DATA, "an open position has no price, limit_price or expiration to change")
        done = orders.protect(book, order, given.get("sl", order.sl), given.get("tp", order.tp))
        return done if isinstance(done, Refused) else {"login": order.login} | views.position_view(book, order)
    return _replace(book, order, given)


def _replace(book: Book, order: Pending, given: dict[str, Any]) -> dict[str, Any] | Refused:
    if "limit_price" in given and order.kind != "stop_limit":
        return Refused(decide.INVALID_DATA, "limit_price: only a stop-limit order has one")
    expires_ms = given["expiration"] * 1000 if "expiration" in given else order.expires_ms
    if 0 < expires_ms <= book.now:
        return Refused(decide.INVALID_DATA, "expiration: it is over")
    price: Decimal = given.get("price", order.price)
    limit_price: Decimal = given.get("limit_price", order.limit_price)
    done = orders.replace(book, order, price, limit_price, given.get("sl", order.sl), given.get("tp", order.tp), expires_ms)
    return done if isinstance(done, Refused) else views.placed_view(done)


def _cancel(book: Book, number: int) -> dict[str, Any] | Refused:
    order = book.pending.get(number)
    if order is None:
        return Refused(decide.ORDER_NOT_FOUND, f"{number} is no pending order")
    fault = book.forbidden(order.login, order.copied)
    if fault is not None:
        return fault
    gone = orders.withdraw(book, order, REASON_CLIENT)
    return gone if isinstance(gone, Refused) else {"login": order.login, "state": "cancelled"} | views.pending_view(order)


def _set_price(book: Book, name: str, quote: Quote) -> dict[str, Any] | Refused:
    symbol = book.symbol(name)
    if isinstance(symbol, Refused):
        return symbol
    if quote.ask < quote.bid:
        return Refused(decide.INVALID_DATA, "ask: it is below the bid")
    fault = _off_grid(book, name, *quote)
    if fault is not None:
        return fault
    orders.set_price(book, name, quote)
    return views.symbol_view(book, name)


def _off_grid(book: Book, name: str, *prices: Decimal) -> Refused | None:
    symbol = book.symbol(name)
    if isinstance(symbol, Refused):
        return symbol
    if all(symbol.price(price) == price for price in prices):
        return None
    return Refused(decide.INVALID_DATA, f"prices of {name} have at most {symbol.digits} decimal places")


async def _on_fault(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Fault)
    return fault.response()


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, decide.INVALID_DATA)
    return Fault(error.status_code, code, str(error.detail)).response()


async def _on_store_away(_request: Request, _error: Exception) -> Response:
    return Fault(503, "UNAVAILABLE", "the venue's store is away; try again").response()


async def _on_bug(_request: Request, _error: Exception) -> Response:
    return Fault(500, "INTERNAL_ERROR", "this is a fault of the venue").response()
