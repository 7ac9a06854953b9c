"""What happens to orders beside opening and closing: stops are changed, pending orders wait, prices move, time passes."""

from decimal import Decimal
from typing import NamedTuple

from shared.contracts.trades import (
    REASON_SL,
    REASON_TP,
    ChangedRow,
    PendingCancelled,
    PendingChanged,
    PendingFilled,
    PendingGoneRow,
    PendingPlaced,
    PendingRow,
    PositionsChanged,
    Side,
)
from shared.money import minor_digits, quantize
from shared.symbols import BUY

from gateway import decide
from gateway.decide import DAY_MS, NONE, Quote, Refused
from gateway.paper.book import Book, add, divide, multiply
from gateway.paper.deals import Opening, close_position, open_position, stop_out
from gateway.paper.market import GROUPS
from gateway.paper.records import Account, Kind, Pending, Position
from gateway.paper.triggers import Hit

CURRENCIES = {group.currency for group in GROUPS.values()}


class Placing(NamedTuple):
    """A pending order that somebody wants. `limit_price` is a stop-limit's; `expires_ms` 0: until it is cancelled."""

    symbol: str
    side: Side
    kind: Kind
    volume: int
    price: Decimal
    limit_price: Decimal
    sl: Decimal
    tp: Decimal
    expires_ms: int
    client_id: str
    reason: str
    master: int = 0
    leverage: int = 0
    margin_type: int = 0


# Stops of a position


def protect(book: Book, position: Position, sl: Decimal, tp: Decimal, client_id: str = "") -> ChangedRow | Refused:
    """Sets stop loss and take profit (0: none); one that stays is not judged again. Refusals: FROZEN, INVALID_STOPS."""
    symbol = book.market.symbols[position.symbol]
    closing = book.market.quotes[position.symbol].closing(position.side)
    new_sl, new_tp = NONE if sl == position.sl else sl, NONE if tp == position.tp else tp
    fault = decide.frozen(closing, (position.sl, position.tp), symbol.freeze)
    fault = fault or decide.stops_fault(position.side, closing, new_sl, new_tp, symbol.distance)
    if fault is not None:
        return fault
    position.sl, position.tp = sl, tp
    position.version += 1
    book.triggers[position.symbol].protect(position.side, sl, tp, position.order, position.version)
    book.changes.positions.setdefault(position.order, False)
    row = ChangedRow(position.order, position.login, position.symbol, sl, tp, position.version, client_id)
    book.told.add(PositionsChanged, row)
    return row


# Pending orders


def place(book: Book, account: Account, want: Placing) -> PendingRow | Refused:
    """Places a pending order. Refusals: SYMBOL_NOT_FOUND, INVALID_VOLUME, INVALID_STOPS. Money is asked for when it is filled."""
    symbol = book.symbol(want.symbol)
    if isinstance(symbol, Refused):
        return symbol
    order = Pending(
        0,
        account.login,
        want.symbol,
        want.side,
        want.kind,
        want.volume,
        want.price,
        want.limit_price if want.kind == "stop_limit" else NONE,
        want.sl,
        want.tp,
        want.expires_ms,
        1,
        want.client_id,
        want.reason,
        want.master,
        leverage=want.leverage,
        margin_type=want.margin_type,
    )
    fault = decide.volume_fault(symbol, want.volume) or _pending_fault(book, order)
    if fault is not None:
        return fault
    order.order = book.ticket()
    rest(book, order)
    book.changes.pending[order.order] = True
    row = pending_row(book, order)
    book.told.add(PendingPlaced, row)
    return row


def replace(
    book: Book, order: Pending, price: Decimal, limit_price: Decimal, sl: Decimal, tp: Decimal, expires_ms: int
) -> PendingRow | Refused:
    """Changes a pending order; levels that stay are not judged again. Refusals: FROZEN, INVALID_STOPS.

    A stop-limit that rests at its limit keeps its stop price, whatever is asked for: it was reached.
    """
    fault = _frozen(book, order)
    if fault is not None:
        return fault
    before = (order.price, order.limit_price, order.sl, order.tp, order.expires_ms)
    order.sl, order.tp, order.expires_ms = sl, tp, expires_ms
    if not order.armed:
        order.price = price
    if order.kind == "stop_limit":
        order.limit_price = limit_price
    fault = _pending_fault(book, order, before)
    if fault is not None:
        order.price, order.limit_price, order.sl, order.tp, order.expires_ms = before
        return fault
    order.version += 1
    rest(book, order)
    book.changes.pending.setdefault(order.order, False)
    row = pending_row(book, order)
    book.told.add(PendingChanged, row)
    return row


def withdraw(book: Book, order: Pending, reason: str) -> PendingGoneRow | Refused:
    """Cancels a pending order because somebody asks for it. Refusal: FROZEN."""
    return _frozen(book, order) or cancel(book, order, reason)


def cancel(book: Book, order: Pending, reason: str, client_id: str = "") -> PendingGoneRow:
    """Cancels a pending order. `client_id` is that of the order, unless the cancelling has its own."""
    _remove(book, order)
    row = PendingGoneRow(order.order, order.login, order.symbol, client_id or order.client_id, reason)
    book.told.add(PendingCancelled, row)
    return row


def rest(book: Book, order: Pending) -> None:
    """Takes a pending order into everything that knows it, with its present version; also when the book is loaded."""
    book.pending[order.order] = order
    book.accounts[order.login].pending[order.order] = order
    book.triggers[order.symbol].wait(order.side, *_waits_at(order), order.order, order.version)
    if order.expires_ms:
        book.expiries.watch(order.expires_ms, order.order)
    if order.copied:
        book.copies[order.client_id] = order.order


def pending_row(book: Book, order: Pending) -> PendingRow:
    """A pending order as it is told, with what its account has."""
    account = book.accounts[order.login]
    equity = quantize(book.standing(account).equity, minor_digits(account.currency))
    return PendingRow(
        order.order,
        order.login,
        order.symbol,
        order.side,
        order.kind,
        order.volume,
        order.price,
        order.limit_price,
        order.sl,
        order.tp,
        order.expires_ms,
        order.version,
        order.client_id,
        order.reason,
        equity,
        account.balance,
        account.credit,
        order.leverage,
        order.margin_type,
    )


def _waits_at(order: Pending) -> tuple[str, Decimal]:
    """How the market has to reach a pending order, and at which price."""
    return ("limit", order.limit_price) if order.armed else (order.kind, order.price)


def _frozen(book: Book, order: Pending) -> Refused | None:
    now = book.market.quotes[order.symbol].opening(order.side)
    return decide.frozen(now, (_waits_at(order)[1],), book.market.symbols[order.symbol].freeze)


def _pending_fault(book: Book, order: Pending, before: tuple[Decimal, Decimal, Decimal, Decimal, int] | None = None) -> Refused | None:
    """INVALID_STOPS for what is new in an order, or (without a `before`) for all of it."""
    symbol, quote = book.market.symbols[order.symbol], book.market.quotes[order.symbol]
    if order.rests_at <= 0:
        return Refused(decide.INVALID_STOPS, "a stop-limit order needs a limit price")
    sl, tp = order.sl, order.tp
    if before is not None and (order.price, order.limit_price) == before[:2]:
        sl, tp = NONE if sl == before[2] else sl, NONE if tp == before[3] else tp
    else:
        fault = decide.pending_fault(order.side, *_waits_at(order), quote, symbol.distance)
        if fault is not None:
            return fault
    return decide.stops_fault(order.side, order.rests_at, sl, tp, symbol.distance)


def _remove(book: Book, order: Pending) -> None:
    del book.pending[order.order]
    del book.accounts[order.login].pending[order.order]
    book.copies.pop(order.client_id, None)
    if book.changes.pending.get(order.order):
        del book.changes.pending[order.order]
    else:
        book.changes.pending[order.order] = False


def _fill(book: Book, order: Pending) -> None:
    """A pending order's price is reached: it is filled at the market as it is now, or cancelled with the reason why not."""
    halted = book.halted(order.master, order.login, order.symbol) if order.copied else None
    if halted is not None:
        cancel(book, order, halted.reason)
        return
    want = Opening(
        *(order.symbol, order.side, order.volume, order.sl, order.tp, order.client_id, order.reason),
        leverage=order.leverage,
        order=order.order,
        margin_type=order.margin_type,
    )
    opened = open_position(book, book.accounts[order.login], want)
    if isinstance(opened, Refused):
        cancel(book, order, opened.reason)
        return
    _remove(book, order)
    if order.copied:
        book.copies[order.client_id] = order.order
    book.told.add(PendingFilled, PendingGoneRow(order.order, order.login, order.symbol, order.client_id, order.reason))


# Prices


def set_price(book: Book, symbol: str, quote: Quote) -> None:
    """Takes a new price over and does what it sets off: pending orders, stop losses, take profits, stop-outs."""
    book.market.set(symbol, quote, book.now)
    book.changes.prices.add(symbol)
    while hits := book.triggers[symbol].take(quote):
        for hit in hits:
            if book.alive(hit):
                _hit(book, hit, quote)
    for login in _exposed(book, symbol):
        stop_out(book, book.accounts[login])


def _hit(book: Book, hit: Hit, quote: Quote) -> None:
    match hit.what:
        case "sl" | "tp":
            position = book.positions[hit.order]
            close_position(book, position, position.volume, REASON_SL if hit.what == "sl" else REASON_TP)
        case _:
            order = book.pending[hit.order]
            if order.kind != "stop_limit" or order.armed or _within(order, quote):
                _fill(book, order)
            else:
                order.armed = True
                book.changes.pending.setdefault(order.order, False)
                rest(book, order)


def _within(order: Pending, quote: Quote) -> bool:
    """Whether the market already trades at the stop-limit's limit or better."""
    return quote.ask <= order.limit_price if order.side == BUY else quote.bid >= order.limit_price


def _exposed(book: Book, symbol: str) -> list[int]:
    """Accounts whose equity depends on a symbol's price: its holders, and those whose profits are converted by it."""
    market = book.market
    logins = dict.fromkeys(book.holders[symbol])
    for name, held_by in book.holders.items():
        source = market.symbols[name].quote_currency
        converted = {target for target in CURRENCIES if any(step.symbol == symbol for step in market.path(source, target))}
        if converted and name != symbol:
            logins.update(dict.fromkeys(login for login in held_by if book.accounts[login].currency in converted))
    return list(logins)


# Time


def due(book: Book, now: int) -> bool:
    """Whether time alone has something to do."""
    return now // DAY_MS > book.day or book.expiries.due(now)


def pass_time(book: Book, now: int) -> None:
    """Cancels what has expired and charges swap for the midnights (UTC) that have passed."""
    book.now = now
    while book.expiries.due(now):
        expires_ms, number = book.expiries.take()
        if book.expires(number, expires_ms):
            cancel(book, book.pending[number], decide.EXPIRED)
    today = now // DAY_MS
    if today > book.day:
        for position in book.positions.values():
            _charge_swap(book, position, today)
        book.day = today
        book.changes.numbers = True
        for login in list(book.told.touched):
            stop_out(book, book.accounts[login])


def _charge_swap(book: Book, position: Position, today: int) -> None:
    symbol = book.market.symbols[position.symbol]
    rate = symbol.swap_long if position.side == BUY else symbol.swap_short
    nights = decide.nights(position.opened_ms, book.day, today)
    if rate == 0 or nights == 0:
        return
    account = book.accounts[position.login]
    lots = divide(Decimal(position.volume), Decimal(symbol.volume_per_lot))
    due_now = multiply(multiply(rate, lots), multiply(Decimal(nights), book.rate(account, position.symbol)))
    swap = quantize(due_now, minor_digits(account.currency))
    position.swap = add(position.swap, swap)
    account.exposure[position.symbol].swap = add(account.exposure[position.symbol].swap, swap)
    book.changes.positions.setdefault(position.order, False)
    book.told.touch(account.login)
