"""The paper venue's HTTP door: the routes and fields of architecture.md section 7, with sums worked out by hand."""

import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateway.paper import views
from sqlalchemy.ext.asyncio import AsyncResult

from tests.flow.gateway_world import NOON, GatewayWorld, gateway_world

D = Decimal
pytestmark = pytest.mark.anyio
TIME = NOON // 1000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


async def test_an_account_is_opened_with_a_first_deposit(world: GatewayWorld) -> None:
    opened = await world.call("POST", "/accounts", {"customer_id": "12", "group": "real-eur", "balance": 2500.5, "leverage": 50})
    assert opened == {
        "login": 100001,
        "customer_id": 12,
        "group": "real-eur",
        "mode": "REAL",
        "currency": "EUR",
        "leverage": 50,
        "balance": D("2500.5"),
        "credit": 0,
        "equity": D("2500.5"),
        "margin": 0,
        "free_margin": D("2500.5"),
        "positions": [],
        "pending": [],
    }
    assert await world.call("GET", "/accounts/100001") == opened
    history = await world.call("GET", "/accounts/100001/history")
    deposit = {"type": "OP_BALANCE_IN", "amount": D("2500.5"), "reason": "TR_REASON_DEPOSIT", "api_data": {}, "time": TIME}
    assert history == {"deals": [], "operations": [deposit]}
    assert (await world.call("POST", "/accounts", {"customer_id": 1, "group": "demo-usd"}))["login"] == 100002
    assert await world.call("GET", "/accounts/100002/history") == {"deals": [], "operations": []}


async def test_a_first_deposit_that_is_refused_begins_no_transaction(world: GatewayWorld) -> None:
    """One that is given up throws the book away, and all of it has to be loaded again."""
    await world.account()
    book = world.venue._book
    refused = await world.refused("POST", "/accounts", {"customer_id": 1, "group": "real-usd", "balance": 0.001})
    assert refused == (400, "INVALID_DATA")
    assert world.venue._book is book


async def test_a_trade_from_open_to_close_by_hand(world: GatewayWorld) -> None:
    """One lot (100 units of 1,000 GBP) bought at 1.57570; the margin at 1:100 is 157,570 / 100 = 1,575.70.

    At once it is worth 10 pips x 0.1 = 10.00 less. At a bid of 1.58000 it is worth 430.00; 40 units of it 172.00. The other 60
    close at 1.57000: 60,000 x -0.00570 = -342.00. In all -170.00.
    """
    login = await world.account(10_000)
    order = await world.call("POST", "/orders", {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 100, "sl": 1.5, "tp": 1.6})
    assert order.items() >= {"login": login, "symbol": "GBPUSD", "side": "buy", "type": "market", "state": "open", "volume": 100}.items()
    assert (order["price"], order["sl"], order["tp"], order["time"]) == (D("1.5757"), D("1.5"), D("1.6"), TIME)
    number = order["order"]
    account = await world.call("GET", f"/accounts/{login}")
    assert (account["balance"], account["equity"], account["margin"], account["free_margin"]) == (10_000, 9_990, D("1575.70"), D("8414.30"))
    assert account["positions"] == [
        {
            "order": number,
            "symbol": "GBPUSD",
            "side": "buy",
            "volume": 100,
            "price": D("1.5757"),
            "sl": D("1.5"),
            "tp": D("1.6"),
            "profit": -10,
            "client_id": "",
            "api_data": {},
            "leverage": 100,
            "margin_type": "cross",
        }
    ]
    await world.price("1.58000", "1.58010")
    assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 10_430
    part = await world.call("POST", f"/orders/{number}/close", {"volume": 40})
    assert (part["closed"], part["volume"], part["state"], part["profit"]) == (40, 60, "open", 172)
    account = await world.call("GET", f"/accounts/{login}")
    assert (account["balance"], account["equity"], account["margin"]) == (10_172, 10_430, D("945.42"))
    await world.price("1.57000", "1.57010")
    rest = await world.call("POST", f"/orders/{number}/close")
    assert (rest["closed"], rest["volume"], rest["state"], rest["profit"]) == (60, 0, "closed", -342)
    account = await world.call("GET", f"/accounts/{login}")
    assert (account["balance"], account["equity"], account["margin"], account["positions"]) == (9_830, 9_830, 0, [])
    deals = (await world.call("GET", f"/accounts/{login}/history"))["deals"]
    assert [(deal["entry"], deal["volume"], deal["price"], deal["profit"]) for deal in deals] == [
        ("in", 100, D("1.5757"), 0),
        ("out", 40, D("1.58"), 172),
        ("out", 60, D("1.57"), -342),
    ]
    assert set(deals[0]) == {"order", "symbol", "side", "entry", "volume", "price", "profit", "commission", "swap", "time"}


async def test_a_long_history_holds_nobody_up(world: GatewayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven deals and six deposits, read two at once: every one is there in its turn, and none is made into JSON on the event loop."""
    login = await world.account(10_000)
    orders = [await world.order(login, volume=volume) for volume in range(1, 8)]
    for amount in range(1, 6):
        await world.call("POST", f"/accounts/{login}/balance", {"amount": amount})
    threads, parts = set(), []

    def noted(view: Any) -> Any:
        return lambda row: (threads.add(threading.get_ident()), view(row))[1]

    for name in ("deal_view", "operation_view"):
        monkeypatch.setattr(views, name, noted(getattr(views, name)))
    partitions = AsyncResult.partitions

    async def counted(result: Any) -> Any:
        async for part in partitions(result):
            parts.append(len(part))
            yield part

    monkeypatch.setattr(AsyncResult, "partitions", counted)
    monkeypatch.setattr("gateway.store.HISTORY_ROWS", 2)
    history = await world.call("GET", f"/accounts/{login}/history")
    assert [(deal["order"], deal["volume"]) for deal in history["deals"]] == list(zip(orders, range(1, 8), strict=True))
    assert [one["amount"] for one in history["operations"]] == [10_000, 1, 2, 3, 4, 5]
    assert parts == [2, 2, 2, 1, 2, 2, 2]
    assert threading.get_ident() not in threads


async def test_a_sell_is_the_mirror(world: GatewayWorld) -> None:
    """Ten units sold at the bid 1.57560 and bought back at the ask 1.57000: 10,000 x 0.00560 = 56.00."""
    login = await world.account()
    number = await world.order(login, "sell", 10)
    await world.price("1.56990", "1.57000")
    assert (await world.call("POST", f"/orders/{number}/close", {}))["profit"] == 56


async def test_profits_and_margin_in_another_currency(world: GatewayWorld) -> None:
    """At EURUSD 1.25 a profit of 100 USD is 80 EUR; a margin of 1,575.70 USD is 1,260.56 EUR."""
    login = await world.account(10_000, "real-eur")
    await world.price("1.25", "1.25", "EURUSD")
    number = await world.order(login, volume=100)
    assert (await world.call("GET", f"/accounts/{login}"))["margin"] == D("1260.56")
    await world.price("1.57670", "1.57680")
    assert (await world.call("POST", f"/orders/{number}/close"))["profit"] == 80


async def test_a_swap_in_usdt_keeps_its_six_places(world: GatewayWorld) -> None:
    """One unit is 0.01 BTC: from 46,320.00 to 46,320.01 it earns 0.0001 USDT."""
    login = await world.account(1000, "real-usdt")
    number = await world.order(login, volume=1, symbol="BTC-SWAP-USDT")
    await world.price("46320.01", "46321", "BTC-SWAP-USDT")
    assert (await world.call("POST", f"/orders/{number}/close"))["profit"] == D("0.0001")
    assert (await world.call("GET", f"/accounts/{login}"))["balance"] == D("1000.0001")


async def test_deposits_and_withdrawals(world: GatewayWorld) -> None:
    login = await world.account(1000)
    path = f"/accounts/{login}/balance"
    assert (await world.call("POST", path, {"amount": 0.25}))["balance"] == D("1000.25")
    assert (await world.call("POST", path, {"amount": -1000, "reason": "TR_REASON_CASHIER"}))["balance"] == D("0.25")
    assert await world.refused("POST", path, {"amount": -0.26}) == (400, "NOT_ENOUGH_MONEY")
    assert await world.refused("POST", path, {"amount": 5, "reason": "TR_REASON_COPY_REWARD"}) == (400, "INVALID_DATA")
    assert await world.refused("POST", path, {"amount": 0.001}) == (400, "INVALID_DATA")
    assert await world.refused("POST", path, {"amount": 0}) == (400, "INVALID_DATA")
    operations = (await world.call("GET", f"/accounts/{login}/history"))["operations"]
    assert [(one["type"], one["amount"], one["reason"]) for one in operations] == [
        ("OP_BALANCE_IN", 1000, "TR_REASON_DEPOSIT"),
        ("OP_BALANCE_IN", D("0.25"), "TR_REASON_DEPOSIT"),
        ("OP_BALANCE_OUT", 1000, "TR_REASON_CASHIER"),
    ]


async def test_a_withdrawal_leaves_the_margin_alone(world: GatewayWorld) -> None:
    """Free margin with one lot open is 10,000 - 10.00 - 1,575.70 = 8,414.30."""
    login = await world.account()
    await world.order(login, volume=100)
    assert await world.refused("POST", f"/accounts/{login}/balance", {"amount": -8414.31}) == (400, "NOT_ENOUGH_MONEY")
    assert (await world.call("POST", f"/accounts/{login}/balance", {"amount": -8414.30}))["free_margin"] == 0


async def test_what_a_balance_cannot_pay_is_not_opened(world: GatewayWorld) -> None:
    """1,575.70 of margin a lot: with 10,000 six lots (9,454.20) go, seven (11,029.90) do not, nor does another one after the six."""
    login = await world.account()
    body = {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 700}
    assert await world.refused("POST", "/orders", body) == (400, "NOT_ENOUGH_MONEY")
    await world.order(login, volume=600)
    assert await world.refused("POST", "/orders", body | {"volume": 100}) == (400, "NOT_ENOUGH_MONEY")


async def test_an_order_under_a_clients_own_id_is_one_order(world: GatewayWorld) -> None:
    login = await world.account()
    body = {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 10, "client_id": "mine-1"}
    first = await world.call("POST", "/orders", body)
    await world.price("1.6", "1.6001")
    await world.restart()
    before = await world.tables()
    assert await world.call("POST", "/orders", body) == first
    assert await world.tables() == before
    assert await world.refused("POST", "/orders", body | {"volume": 11}) == (400, "INVALID_DATA")
    other = await world.account()
    assert (await world.call("POST", "/orders", body | {"login": other}))["order"] != first["order"]  # each account has its own ids
    close = {"volume": 4, "client_id": "mine-2"}
    closed = await world.call("POST", f"/orders/{first['order']}/close", close)
    assert await world.call("POST", f"/orders/{first['order']}/close", close) == closed
    assert [p["volume"] for p in (await world.call("GET", f"/accounts/{login}"))["positions"]] == [6]


async def test_a_refused_order_may_be_sent_again_under_its_id(world: GatewayWorld) -> None:
    login = await world.account(1)
    body = {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 10, "client_id": "again"}
    assert await world.refused("POST", "/orders", body) == (400, "NOT_ENOUGH_MONEY")
    await world.call("POST", f"/accounts/{login}/balance", {"amount": 1000})
    assert (await world.call("POST", "/orders", body))["state"] == "open"


async def test_symbols(world: GatewayWorld) -> None:
    symbols = await world.call("GET", "/symbols")
    assert [symbol["symbol"] for symbol in symbols] == ["GBPUSD", "EURUSD", "USDJPY", "BTC-SWAP-USDT", "ETH-SWAP-USDT"]
    assert symbols[0] == {
        "symbol": "GBPUSD",
        "digits": 5,
        "contract_size": 100_000,
        "base_currency": "GBP",
        "quote_currency": "USD",
        "volume_per_lot": 100,
        "volume_min": 1,
        "volume_step": 1,
        "volume_max": 1_000_000,
        "stops_level": 0,
        "commission": 0,
        "swap_long": 0,
        "swap_short": 0,
        "bid": D("1.5756"),
        "ask": D("1.5757"),
        "freeze_level": 0,
    }


async def test_pending_orders_are_placed_changed_and_cancelled(world: GatewayWorld) -> None:
    login = await world.account()
    body = {
        "login": login,
        "symbol": "GBPUSD",
        "side": "buy",
        "volume": 10,
        "type": "limit",
        "price": 1.5,
        "sl": 1.4,
        "expiration": TIME + 60,
    }
    placed = await world.call("POST", "/orders", body)
    assert (placed["state"], placed["type"], placed["price"], placed["expiration"]) == ("pending", "limit", D("1.5"), TIME + 60)
    changed = await world.call("PUT", f"/orders/{placed['order']}", {"price": 1.51, "tp": 1.6})
    assert (changed["price"], changed["sl"], changed["tp"], changed["expiration"]) == (D("1.51"), D("1.4"), D("1.6"), TIME + 60)
    account = await world.call("GET", f"/accounts/{login}")
    assert [(order["order"], order["price"]) for order in account["pending"]] == [(placed["order"], D("1.51"))]
    assert account["margin"] == 0
    assert (await world.call("DELETE", f"/orders/{placed['order']}"))["state"] == "cancelled"
    assert (await world.call("GET", f"/accounts/{login}"))["pending"] == []
    assert await world.refused("DELETE", f"/orders/{placed['order']}") == (404, "ORDER_NOT_FOUND")


async def test_stops_are_changed_one_by_one(world: GatewayWorld) -> None:
    login = await world.account()
    number = await world.order(login, sl=1.5, tp=1.7)
    changed = await world.call("PUT", f"/orders/{number}", {"sl": 1.55})
    assert (changed["sl"], changed["tp"]) == (D("1.55"), D("1.7"))
    assert (await world.call("PUT", f"/orders/{number}", {"tp": 0}))["tp"] == 0
    assert await world.refused("PUT", f"/orders/{number}", {"sl": 1.6}) == (400, "INVALID_STOPS")
    assert await world.refused("PUT", f"/orders/{number}", {"price": 1.6}) == (400, "INVALID_DATA")
    assert await world.refused("PUT", f"/orders/{number}", {}) == (400, "INVALID_DATA")
    assert await world.refused("PUT", "/orders/5", {"sl": 1.5}) == (404, "ORDER_NOT_FOUND")
