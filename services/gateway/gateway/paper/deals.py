"""Deals of the paper venue: positions are opened and closed at the market, by whoever asks, or because their account cannot bear them."""

from decimal import Decimal
from typing import Literal, NamedTuple

from shared.contracts.trades import (
    REASON_STOP_OUT,
    ClosedRow,
    OpenedRow,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
    Side,
)
from shared.money import minor_digits, quantize

from gateway import decide
from gateway.decide import NONE, Refused
from gateway.paper.book import Book, add, divide, multiply, subtract
from gateway.paper.market import Symbol
from gateway.paper.records import Account, Deal, Position


class Opening(NamedTuple):
    """A position that somebody wants. `leverage` 0: the account's; `worst_price` 0: any; `order` 0: a new one.

    `margin_type` 0: cross, 1: isolated.
    """

    symbol: str
    side: Side
    volume: int
    sl: Decimal
    tp: Decimal
    client_id: str
    reason: str
    worst_price: Decimal = NONE
    leverage: int = 0
    order: int = 0
    margin_type: int = 0


class Costs(NamedTuple):
    """What a deal books: its gross profit, and its costs, negative when they are charged."""

    profit: Decimal
    commission: Decimal
    swap: Decimal


def open_position(book: Book, account: Account, want: Opening) -> OpenedRow | Refused:
    """Opens a position at the market. Refusals: SYMBOL_NOT_FOUND, INVALID_VOLUME, PRICE_MOVED, INVALID_STOPS, NOT_ENOUGH_MONEY."""
    symbol = book.symbol(want.symbol)
    if isinstance(symbol, Refused):
        return symbol
    price = book.market.quotes[want.symbol].opening(want.side)
    fault = _opening_fault(book, symbol, want, price)
    if fault is not None:
        return fault
    leverage = want.leverage or account.leverage
    before = book.standing(account)
    commission = _commission(book, account, symbol, want.volume)
    margin = add(before.margin, book.margin_of(account, want.symbol, want.volume, price, leverage))
    if not decide.affordable(add(before.equity, commission), margin, account.group.margin_call):
        return Refused(decide.NOT_ENOUGH_MONEY, f"a margin of {margin:.2f} is more than account {account.login} can bear")
    position = Position(
        *(want.order or book.ticket(), account.login, want.symbol, want.side, want.volume, want.volume, price, want.sl, want.tp, 1),
        *(want.client_id, want.reason, leverage, commission, NONE, book.now, want.margin_type),
    )
    had = quantize(before.equity, minor_digits(account.currency)), account.balance, account.credit
    opened = OpenedRow(
        *(position.order, account.login, want.symbol, want.side, want.volume, price, want.sl, want.tp, want.client_id, want.reason),
        *(commission, *had, book.now, leverage, want.margin_type),
    )
    book.enter(position)
    book.changes.positions[position.order] = True
    _book(book, position, "in", want.volume, price, Costs(NONE, commission, NONE), want.reason, want.client_id)
    book.told.add(PositionsOpened, opened)
    return opened


def _opening_fault(book: Book, symbol: Symbol, want: Opening, price: Decimal) -> Refused | None:
    fault = decide.volume_fault(symbol, want.volume)
    if fault is None and decide.too_dear(want.side, price, want.worst_price):
        fault = Refused(decide.PRICE_MOVED, f"the price is {price}, beyond {want.worst_price}")
    # A pending order's stops were judged when it was placed; a gap that jumps over them closes the position at once.
    if fault is None and not want.order:
        closing = book.market.quotes[want.symbol].closing(want.side)
        fault = decide.stops_fault(want.side, closing, want.sl, want.tp, symbol.distance)
    return fault


def close_position(book: Book, position: Position, volume: int, reason: str, client_id: str = "") -> ClosedRow:
    """Closes so much of a position (all, when it is less) at the market. Nothing may hold a close back."""
    account, symbol = book.accounts[position.login], book.market.symbols[position.symbol]
    volume = min(volume, position.volume)
    left, digits = position.volume - volume, minor_digits(account.currency)
    price = book.market.quotes[position.symbol].closing(position.side)
    rate = book.rate(account, position.symbol)
    profit = quantize(multiply(symbol.profit(position.side, volume, position.price, price), rate), digits)
    swap = position.swap
    if left:
        swap = quantize(divide(multiply(swap, Decimal(volume)), Decimal(position.volume)), digits)
    closing = _commission(book, account, symbol, volume)
    opening = decide.released(position.commission, position.initial, position.volume, left, digits)
    book.expose(account, position, -volume, -swap)
    position.swap = subtract(position.swap, swap)
    position.volume = left
    deal = _book(book, position, "out", volume, price, Costs(profit, closing, swap), reason, client_id)
    row = ClosedRow(
        *(position.order, deal, account.login, position.symbol, position.side, position.initial, volume, left, position.price, price),
        *(profit, add(opening, closing), swap, reason, client_id, position.client_id, position.opened_ms, book.now),
        *(position.leverage, position.margin_type),
    )
    if left:
        book.changes.positions.setdefault(position.order, False)
    else:
        book.leave(position)
    book.told.add(PositionsReduced if left else PositionsClosed, row)
    return row


def stop_out(book: Book, account: Account) -> None:
    """Closes what isolated margin no longer carries; then, while the margin level is below the group's stop-out level, the position
    with the largest loss."""
    if account.login in book.isolated:
        for position in [each for each in account.positions.values() if each.margin_type and _used_up(book, each)]:
            close_position(book, position, position.volume, REASON_STOP_OUT)
    while account.positions and decide.stopped_out(*book.standing(account), account.group.stop_out):
        order = decide.worst((book.floating(position), position.order) for position in account.positions.values())
        position = book.positions[order]
        close_position(book, position, position.volume, REASON_STOP_OUT)


def _used_up(book: Book, position: Position) -> bool:
    """Whether an isolated position has lost the margin that was set apart for it."""
    account = book.accounts[position.login]
    margin = book.margin_of(account, position.symbol, position.volume, position.price, position.leverage)
    return add(book.floating(position), margin) <= 0


def _commission(book: Book, account: Account, symbol: Symbol, volume: int) -> Decimal:
    """What one side costs: rate per lot x lots, in the account's currency, rounded as it is charged; negative or 0."""
    if symbol.commission == 0:
        return NONE
    lots = divide(Decimal(volume), Decimal(symbol.volume_per_lot))
    cost = multiply(multiply(symbol.commission, lots), book.rate(account, symbol.symbol))
    return -quantize(cost, minor_digits(account.currency))


def _book(
    book: Book, position: Position, entry: Literal["in", "out"], volume: int, price: Decimal, costs: Costs, reason: str, client_id: str
) -> int:
    """Books a deal to the account's balance; answers its number."""
    account = book.accounts[position.login]
    booked = add(costs.profit, add(costs.commission, costs.swap))
    if booked:
        account.balance = add(account.balance, booked)
        book.changes.accounts.setdefault(account.login, False)
    deal = Deal(
        *(book.ticket(), position.order, position.login, position.symbol, position.side, entry, volume, price, *costs),
        *(reason, client_id, book.now),
    )
    book.changes.deals.append(deal)
    book.told.touch(account.login)
    return deal.deal
