"""What the venue's door refuses, with a code, and without a change."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.flow.gateway_world import NOON, GatewayWorld, gateway_world

D = Decimal
pytestmark = pytest.mark.anyio
TIME = NOON // 1000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


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
