"""The paper venue's HTTP door: the routes and fields of architecture.md section 7, with sums worked out by hand."""

import asyncio
import json
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


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"login": 5}, 404, "ACCOUNT_NOT_FOUND"),
        ({"symbol": "NOPE"}, 404, "SYMBOL_NOT_FOUND"),
        ({"symbol": 5}, 400, "INVALID_DATA"),
        ({"side": "long"}, 400, "INVALID_DATA"),
        ({"side": ["buy"]}, 400, "INVALID_DATA"),
        ({"volume": 0}, 400, "INVALID_DATA"),
        ({"volume": -1}, 400, "INVALID_DATA"),
        ({"volume": 1.5}, 400, "INVALID_DATA"),
        ({"volume": True}, 400, "INVALID_DATA"),
        ({"volume": "1e2"}, 400, "INVALID_DATA"),
        ({"volume": 10**30}, 400, "INVALID_DATA"),
        ({"volume": 1_000_001}, 400, "INVALID_VOLUME"),
        ({"volume": None}, 400, "INVALID_DATA"),
        ({"type": "market", "price": 1.5}, 400, "INVALID_DATA"),
        ({"type": "limit"}, 400, "INVALID_DATA"),
        ({"type": "limit", "price": 1.6}, 400, "INVALID_STOPS"),
        ({"type": "limit", "price": "1.5"}, 400, "INVALID_DATA"),
        ({"type": "limit", "price": 1.5, "limit_price": 1.4}, 400, "INVALID_DATA"),
        ({"type": "stop_limit", "price": 1.6}, 400, "INVALID_DATA"),
        ({"type": "limit", "price": 1.5, "expiration": TIME - 1}, 400, "INVALID_DATA"),
        ({"expiration": TIME + 60}, 400, "INVALID_DATA"),
        ({"sl": 1.6}, 400, "INVALID_STOPS"),
        ({"sl": -1}, 400, "INVALID_DATA"),
        ({"sl": "1.5"}, 400, "INVALID_DATA"),
        ({"sl": 1.500001}, 400, "INVALID_DATA"),
        ({"tp": 1e300}, 400, "INVALID_DATA"),
        ({"client_id": "c-7-1001-open-0"}, 400, "INVALID_DATA"),
        ({"client_id": "r-1-out"}, 400, "INVALID_DATA"),
        ({"client_id": "white space"}, 400, "INVALID_DATA"),
        ({"client_id": 5}, 400, "INVALID_DATA"),
        ({"magic": 5}, 400, "INVALID_DATA"),
    ],
)
async def test_bad_orders_are_refused_and_change_nothing(world: GatewayWorld, change: dict[str, Any], status: int, code: str) -> None:
    login = await world.account()
    body = {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 10} | change
    assert await world.refused("POST", "/orders", body) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/accounts", {"customer_id": 1, "group": "gold"}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"group": "real-usd"}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 0, "group": "real-usd"}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 2**63, "group": "real-usd"}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 1, "group": "real-usd", "balance": "5"}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 1, "group": "real-usd", "balance": -5}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 1, "group": "real-usd", "balance": 0.001}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 1, "group": "real-usd", "leverage": 0}, 400, "INVALID_DATA"),
        ("POST", "/accounts", {"customer_id": 1, "group": "real-usd", "login": 5}, 400, "INVALID_DATA"),
        ("GET", "/accounts/5", None, 404, "ACCOUNT_NOT_FOUND"),
        ("GET", "/accounts/5/history", None, 404, "ACCOUNT_NOT_FOUND"),
        ("GET", "/accounts/five", None, 400, "INVALID_DATA"),
        ("GET", "/accounts/99999999999999999999", None, 400, "INVALID_DATA"),
        ("POST", "/accounts/5/balance", {"amount": 5}, 404, "ACCOUNT_NOT_FOUND"),
        ("POST", "/orders/5/close", {}, 404, "ORDER_NOT_FOUND"),
        ("POST", "/orders/x/close", {}, 400, "INVALID_DATA"),
        ("DELETE", "/orders/5", None, 404, "ORDER_NOT_FOUND"),
        ("PUT", "/prices/NOPE", {"bid": 1, "ask": 2}, 404, "SYMBOL_NOT_FOUND"),
        ("PUT", "/prices/GBPUSD", {"bid": 2, "ask": 1}, 400, "INVALID_DATA"),
        ("PUT", "/prices/GBPUSD", {"bid": 0, "ask": 1}, 400, "INVALID_DATA"),
        ("PUT", "/prices/GBPUSD", {"bid": 1.5, "ask": "1.6"}, 400, "INVALID_DATA"),
        ("PUT", "/prices/GBPUSD", {"bid": 1.123456, "ask": 1.2}, 400, "INVALID_DATA"),
        ("PUT", "/prices/GBPUSD", {"bid": 1.1}, 400, "INVALID_DATA"),
        ("GET", "/nowhere", None, 404, "NOT_FOUND"),
        ("DELETE", "/symbols", None, 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_bad_calls_are_refused_and_change_nothing(
    world: GatewayWorld, method: str, path: str, body: Any, status: int, code: str
) -> None:
    assert await world.refused(method, path, body) == (status, code)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"bid": NaN, "ask": 1}',
        b'{"bid": 1, "ask": Infinity}',
        b'{"bid": 1, "ask": 1e999999999}',
        b'{"bid": 1, "ask": 1, "ask": 2}',
        b'{"bid": ' + b"9" * 5000 + b', "ask": 1}',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_json_object_is_refused(world: GatewayWorld, content: bytes) -> None:
    assert await world.refused("PUT", "/prices/GBPUSD", content=content) == (400, "INVALID_DATA")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0e-999999999", "0"),
        ("-0.0", "0"),
        ("1.5" + "0" * 79, "1.5"),
        ("1.5" + "0" * 200_000, "1.5"),
        ("15e-1", "1.5"),
        ("1E0", "1"),
    ],
)
async def test_a_number_is_kept_in_its_shortest_form_however_long_it_is_written(world: GatewayWorld, written: str, kept: str) -> None:
    """A zero with 999,999,999 places would be told in as many characters; a store keeps 80 of them."""
    login = await world.account()
    body = f'{{"login": {login}, "symbol": "GBPUSD", "side": "buy", "volume": 10, "sl": {written}, "client_id": "n"}}'
    answer = await world.http.post("/orders", content=body)
    assert (answer.status_code, f'"sl":{kept},' in answer.text) == (200, True), answer.text[:300]
    ((position,), (asked,)) = [(await world.tables())[table] for table in ("position", "answer")]
    assert str(position[7]) == kept
    assert f'"sl":"{kept}"' in asked[3]


@pytest.mark.parametrize("written", ["1e-999999999", "1.500000001", "1.5" + "0" * 60 + "1", "1e19", "0e19"])
async def test_a_number_that_is_too_fine_or_too_large_is_refused(world: GatewayWorld, written: str) -> None:
    login = await world.account()
    body = f'{{"login": {login}, "symbol": "GBPUSD", "side": "buy", "volume": 10, "sl": {written}}}'
    assert await world.refused("POST", "/orders", content=body.encode()) == (400, "INVALID_DATA")


async def test_a_body_of_more_than_256_kb_is_refused(world: GatewayWorld) -> None:
    fits = b'{"bid": 1.5, "ask": 1.6' + b" " * (256 * 1024 - 24) + b"}"
    assert (await world.http.put("/prices/GBPUSD", content=fits)).status_code == 200
    assert await world.refused("PUT", "/prices/GBPUSD", content=fits + b" ") == (413, "INVALID_DATA")


async def test_a_body_that_does_not_come_is_not_waited_for(world: GatewayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first part is there, the second is not."""
    monkeypatch.setattr("gateway.paper.wire.BODY_S", 0.05)

    async def begun() -> AsyncIterator[bytes]:
        yield b'{"bid": 1.5,'
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "PUT", "path": "/prices/GBPUSD", "headers": [], "query_string": b"", "http_version": "1.1"}
    parts, sent = begun(), []

    async def receive() -> Any:
        return {"type": "http.request", "body": await anext(parts), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(world.app({**scope, "raw_path": b"", "scheme": "http", "root_path": ""}, receive, send), 5)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]) == (408, "REQUEST_TIMEOUT")
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_close_that_is_too_large_or_leaves_what_nobody_may_hold_is_refused(tmp_path: Path) -> None:
    async with gateway_world(tmp_path, GBPUSD={"volume_min": 10, "volume_step": 5}) as world:
        login = await world.account()
        number = await world.order(login, volume=30)
        for volume in (31, 25, 12):  # too much; leaves 5, less than the least; not on the step
            assert await world.refused("POST", f"/orders/{number}/close", {"volume": volume}) == (400, "INVALID_VOLUME")
        assert (await world.call("POST", f"/orders/{number}/close", {"volume": 15}))["volume"] == 15


async def test_a_fault_of_the_venue_is_no_bare_500(world: GatewayWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    login = await world.account()

    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("gateway.paper.http.orders.set_price", broken)
    assert await world.refused("PUT", "/prices/GBPUSD", {"bid": 1.5, "ask": 1.6}) == (500, "INTERNAL_ERROR")
    monkeypatch.undo()
    assert (await world.call("GET", f"/accounts/{login}"))["balance"] == 10_000
