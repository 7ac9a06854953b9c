"""How the paper venue's door shows accounts, orders and symbols: plain objects, times in Unix seconds."""

import json
from typing import Any

from shared.clock import seconds
from shared.contracts.trades import ClosedRow, OpenedRow, PendingRow
from shared.ids import parse_copy_client_id
from shared.money import minor_digits, quantize

from gateway.paper.book import Book
from gateway.paper.records import Account, Deal, Operation, Pending, Position

MARGIN_TYPES = ("cross", "isolated")
"""A position's margin type by its number."""


def account_view(book: Book, account: Account) -> dict[str, Any]:
    """An account with its positions and pending orders."""
    row = book.account_row(account.login)
    return {
        "login": row.login,
        "customer_id": row.customer_id,
        "group": row.group,
        "mode": row.mode,
        "currency": row.currency,
        "leverage": row.leverage,
        "balance": row.balance,
        "credit": row.credit,
        "equity": row.equity,
        "margin": row.margin,
        "free_margin": row.free_margin,
        "positions": [position_view(book, position) for position in account.positions.values()],
        "pending": [pending_view(order) for order in account.pending.values()],
    }


def position_view(book: Book, position: Position) -> dict[str, Any]:
    """An open position; `profit` is gross, in the account's currency."""
    digits = minor_digits(book.accounts[position.login].currency)
    return {
        "order": position.order,
        "symbol": position.symbol,
        "side": position.side,
        "volume": position.volume,
        "price": position.price,
        "sl": position.sl,
        "tp": position.tp,
        "profit": quantize(book.floating(position), digits),
        "client_id": position.client_id,
        "api_data": copy_data(position.client_id),
        "leverage": position.leverage,
        "margin_type": MARGIN_TYPES[position.margin_type],
    }


def pending_view(order: Pending) -> dict[str, Any]:
    return {
        "order": order.order,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.kind,
        "volume": order.volume,
        "price": order.price,
        "limit_price": order.limit_price,
        "sl": order.sl,
        "tp": order.tp,
        "expiration": seconds(order.expires_ms),
        "client_id": order.client_id,
        "api_data": copy_data(order.client_id),
    }


def copy_data(client_id: str) -> dict[str, int]:
    """`api_data` of an order: what it is a copy of, if it is one."""
    copy = parse_copy_client_id(client_id)
    return {} if copy is None else {"copy_subscription_id": copy.subscription, "copy_master_order": copy.master_order}


def opened_view(row: OpenedRow) -> dict[str, Any]:
    """A market order as it was filled."""
    return {
        "order": row.order,
        "login": row.login,
        "symbol": row.symbol,
        "side": row.side,
        "type": "market",
        "state": "open",
        "volume": row.volume,
        "price": row.price,
        "sl": row.sl,
        "tp": row.tp,
        "commission": row.commission,
        "client_id": row.client_id,
        "time": seconds(row.opened_ms),
    }


def placed_view(row: PendingRow) -> dict[str, Any]:
    """A pending order as it was placed or changed."""
    return {
        "order": row.order,
        "login": row.login,
        "symbol": row.symbol,
        "side": row.side,
        "type": row.kind,
        "state": "pending",
        "volume": row.volume,
        "price": row.price,
        "limit_price": row.limit_price,
        "sl": row.sl,
        "tp": row.tp,
        "expiration": seconds(row.expires_ms),
        "client_id": row.client_id,
    }


def closed_view(row: ClosedRow) -> dict[str, Any]:
    """A close: `closed` of the position, of which `volume` is still open. Costs are this slice's share of the whole position's."""
    return {
        "order": row.order,
        "deal": row.deal,
        "login": row.login,
        "symbol": row.symbol,
        "side": row.side,
        "state": "open" if row.left else "closed",
        "closed": row.closed,
        "volume": row.left,
        "open_price": row.open_price,
        "price": row.price,
        "profit": row.profit,
        "commission": row.commission,
        "swap": row.swap,
        "client_id": row.client_id,
        "time": seconds(row.closed_ms),
    }


def deal_view(deal: Deal) -> dict[str, Any]:
    """A deal; `side` is its position's. Costs are those that were booked with it: all deals add up to what the account was booked."""
    return {
        "order": deal.order,
        "symbol": deal.symbol,
        "side": deal.side,
        "entry": deal.entry,
        "volume": deal.volume,
        "price": deal.price,
        "profit": deal.profit,
        "commission": deal.commission,
        "swap": deal.swap,
        "time": seconds(deal.time_ms),
    }


def operation_view(operation: Operation) -> dict[str, Any]:
    """A balance operation; `api_data` is the object that its sender gave it."""
    return {
        "type": operation.operation,
        "amount": operation.amount,
        "reason": operation.reason,
        "api_data": _data(operation.api_data),
        "time": seconds(operation.time_ms),
    }


def symbol_view(book: Book, name: str) -> dict[str, Any]:
    return book.market.row(name)._asdict()


def _data(text: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text
