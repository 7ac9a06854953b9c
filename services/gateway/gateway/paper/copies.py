"""Copy orders on the paper venue: each row of a table is carried out once, and answered again when it is asked for again."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from shared.contracts.event import TableEvent
from shared.contracts.orders import (
    CancelCopies,
    CancelRow,
    CloseCopies,
    CloseRow,
    OpenCopies,
    OpenRow,
    PlaceCopies,
    PlaceRow,
    ProtectCopies,
    ProtectRow,
    ReplaceCopies,
    ReplaceRow,
)
from shared.contracts.trades import (
    REASON_COPY,
    OrdersRejected,
    PendingCancelled,
    PendingChanged,
    PendingPlaced,
    PositionsChanged,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
    RejectedRow,
)
from shared.ids import copy_client_id

from gateway import decide
from gateway.decide import Refused
from gateway.paper import orders
from gateway.paper.book import Book
from gateway.paper.deals import Opening, close_position, open_position
from gateway.paper.orders import Placing
from gateway.paper.records import Answer, Pending, Position
from gateway.paper.told import kind_of, row_again, row_json
from gateway.venue import CopyTable

LEVERAGE_MAX = 1000
PRICE_MAX = Decimal(10) ** 12


class Done(NamedTuple):
    """What was carried out: the event type that tells it, and its row."""

    event: type[TableEvent]
    row: Any


def action_of(table: CopyTable) -> str:
    """The action in the client order ids of a table's rows: open, close, protect, place, replace or cancel."""
    return table.type.removeprefix("copy.")


def key_of(table: CopyTable, row: Any) -> str:
    """The client order id of one row."""
    return copy_client_id(row.subscription, table.master_order, action_of(table), getattr(row, "step", 0))


def carry_out(book: Book, table: CopyTable, answered: Mapping[str, Answer]) -> None:
    """Carries out the rows that were not carried out before; tells of every row what came of it."""
    act = _actions(book, table)
    known = dict(answered)
    for row in table.rows:
        key = key_of(table, row)
        if key in known:
            event, told = row_again(known[key].kind, known[key].row)
            book.told.add(event, told)
            book.changes.asked_again.add(key)
            continue
        done = act(row, key)
        if isinstance(done, Refused):
            refusal = RejectedRow(row.login, key, getattr(row, "order", 0), action_of(table), done.reason, done.message)
            book.told.add(OrdersRejected, refusal)
            done = Done(OrdersRejected, refusal)
        known[key] = book.changes.answers[key] = Answer(key, kind_of(done.event), row_json(done.row))


def keys(table: CopyTable) -> Iterable[str]:
    """The client order ids of a table."""
    return (key_of(table, row) for row in table.rows)


def _actions(book: Book, table: CopyTable) -> Callable[[Any, str], Done | Refused]:
    match table:
        case OpenCopies():
            # most followers of a master are sent the same stops
            grid = lru_cache(maxsize=64)(lambda sl, tp: _on_grid(book, table.symbol, sl, tp))
            return lambda row, key: _open(book, table, row, key, grid)
        case CloseCopies():
            return lambda row, key: _close(book, table, row, key)
        case ProtectCopies():
            return lambda row, key: _protect(book, table, row, key)
        case PlaceCopies():
            return lambda row, key: _place(book, table, row, key)
        case ReplaceCopies():
            return lambda row, key: _replace(book, table, row, key)
        case CancelCopies():
            return lambda row, key: _cancel(book, table, row, key)


def _open(
    book: Book, table: OpenCopies, row: OpenRow, key: str, grid: Callable[[Decimal, Decimal], list[Decimal] | Refused]
) -> Done | Refused:
    account = book.account(row.login)
    if isinstance(account, Refused):
        return account
    fault = book.halted(table.master_login, row.login, table.symbol)
    if fault is not None:
        return fault
    if not 0 <= row.leverage <= LEVERAGE_MAX:
        return Refused(decide.INVALID_DATA, f"a leverage is 1 to {LEVERAGE_MAX}")
    levels = grid(row.sl, row.tp)
    if isinstance(levels, Refused):
        return levels
    want = Opening(
        *(table.symbol, row.side, row.volume, levels[0], levels[1], key, REASON_COPY, row.worst_price, row.leverage),
        margin_type=row.margin_type,
    )
    opened = open_position(book, account, want)
    return opened if isinstance(opened, Refused) else Done(PositionsOpened, opened)


def _close(book: Book, table: CloseCopies, row: CloseRow, key: str) -> Done | Refused:
    position = _position(book, table.master_order, row)
    if isinstance(position, Refused):
        return position
    if row.volume < 1:
        return Refused(decide.INVALID_VOLUME, "there is nothing to close")
    closed = close_position(book, position, row.volume, REASON_COPY, key)
    return Done(PositionsReduced if closed.left else PositionsClosed, closed)


def _protect(book: Book, table: ProtectCopies, row: ProtectRow, key: str) -> Done | Refused:
    position = _position(book, table.master_order, row)
    if isinstance(position, Refused):
        return position
    levels = _on_grid(book, position.symbol, row.sl, row.tp)
    if isinstance(levels, Refused):
        return levels
    changed = orders.protect(book, position, levels[0], levels[1], key)
    return changed if isinstance(changed, Refused) else Done(PositionsChanged, changed)


def _place(book: Book, table: PlaceCopies, row: PlaceRow, key: str) -> Done | Refused:
    account = book.account(row.login)
    if isinstance(account, Refused):
        return account
    fault = book.halted(table.master_login, row.login, table.symbol)
    if fault is not None:
        return fault
    if 0 < table.expires_ms <= book.now:
        return Refused(decide.EXPIRED, "the order's time is over")
    if not 0 <= row.leverage <= LEVERAGE_MAX:
        return Refused(decide.INVALID_DATA, f"a leverage is 1 to {LEVERAGE_MAX}")
    levels = _on_grid(book, table.symbol, row.price, row.limit_price, row.sl, row.tp)
    if isinstance(levels, Refused):
        return levels
    price, limit_price, sl, tp = levels
    want = Placing(
        symbol=table.symbol,
        side=row.side,
        kind=table.kind,
        volume=row.volume,
        price=price,
        limit_price=limit_price,
        sl=sl,
        tp=tp,
        expires_ms=table.expires_ms,
        client_id=key,
        reason=REASON_COPY,
        master=table.master_login,
        leverage=row.leverage,
        margin_type=row.margin_type,
    )
    placed = orders.place(book, account, want)
    return placed if isinstance(placed, Refused) else Done(PendingPlaced, placed)


def _replace(book: Book, table: ReplaceCopies, row: ReplaceRow, key: str) -> Done | Refused:
    order = _pending(book, table.master_order, row)
    if isinstance(order, Refused):
        return order
    levels = _on_grid(book, order.symbol, row.price, row.limit_price, row.sl, row.tp)
    if isinstance(levels, Refused):
        return levels
    price, limit_price, sl, tp = levels
    changed = orders.replace(book, order, price, limit_price, sl, tp, table.expires_ms)
    return changed if isinstance(changed, Refused) else Done(PendingChanged, changed)


def _cancel(book: Book, table: CancelCopies, row: CancelRow, key: str) -> Done | Refused:
    order = _pending(book, table.master_order, row)
    if isinstance(order, Refused):
        return order
    gone = orders.withdraw(book, order, REASON_COPY)
    return gone if isinstance(gone, Refused) else Done(PendingCancelled, gone)


def _position(book: Book, master_order: int, row: CloseRow | ProtectRow) -> Position | Refused:
    found = book.positions.get(row.order or _order_of(book, master_order, row.subscription))
    if found is None or found.login != row.login:
        return Refused(decide.POSITION_NOT_FOUND, f"account {row.login} has no such position")
    return found


def _pending(book: Book, master_order: int, row: ReplaceRow | CancelRow) -> Pending | Refused:
    found = book.pending.get(row.order or _order_of(book, master_order, row.subscription))
    if found is None or found.login != row.login:
        return Refused(decide.ORDER_NOT_FOUND, f"account {row.login} has no such pending order")
    return found


def _order_of(book: Book, master_order: int, subscription: int) -> int:
    """The order that a copy was opened or placed as; 0 when there is none."""
    opened = book.copies.get(copy_client_id(subscription, master_order, "open"))
    return opened or book.copies.get(copy_client_id(subscription, master_order, "place"), 0)


def _on_grid(book: Book, name: str, *prices: Decimal) -> list[Decimal] | Refused:
    """Prices rounded to the symbol's digits: a follower's symbol may have fewer than the master's."""
    symbol = book.symbol(name)
    if isinstance(symbol, Refused):
        return symbol
    if any(price < 0 or price > PRICE_MAX for price in prices):
        return Refused(decide.INVALID_STOPS, "a price is neither negative nor that large")
    return [symbol.price(price) for price in prices]
