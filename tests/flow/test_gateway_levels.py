"""How near to the market stops and pending prices may be on the paper venue, and when an order is too near to it to be changed."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shared.contracts import orders
from shared.contracts.orders import CancelCopies, CancelRow, PlaceCopies, PlaceRow, ProtectCopies, ProtectRow, ReplaceCopies, ReplaceRow

from tests.flow.gateway_world import gateway_world, open_copies

D = Decimal
NONE = D(0)
pytestmark = pytest.mark.anyio

# GBPUSD is 1.57560 / 1.57570; a point is 0.00001


async def test_stops_level_keeps_stops_away(tmp_path: Path) -> None:
    """20 points from a bid of 1.57560: 1.57540 is far enough."""
    async with gateway_world(tmp_path, GBPUSD={"stops_level": 20}) as world:
        login = (await world.accounts(1))[0]
        body = {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 1}
        assert await world.refused("POST", "/orders", body | {"sl": 1.57541}) == (400, "INVALID_STOPS")
        assert await world.refused("POST", "/orders", body | {"type": "limit", "price": 1.57551}) == (400, "INVALID_STOPS")
        await world.order(login, sl=1.57540)
        await world.order(login, type="limit", price=1.57550)
        await world.handle(orders.TOPIC, open_copies([login], sl=D("1.57541")))
        assert (await world.told_rows())["order.rejected"][0].reason == "INVALID_STOPS"


async def test_both_levels_are_told(tmp_path: Path) -> None:
    async with gateway_world(tmp_path, GBPUSD={"stops_level": 20, "freeze_level": 10}) as world:
        told = next(row for event in await world.told(symbols=True) for row in event.rows if row.symbol == "GBPUSD")
        assert (told.stops_level, told.freeze_level) == (20, 10)
        shown = next(one for one in await world.call("GET", "/symbols") if one["symbol"] == "GBPUSD")
        assert (shown["stops_level"], shown["freeze_level"]) == (20, 10)


async def test_a_stop_that_stays_is_not_judged_again(tmp_path: Path) -> None:
    """The stop loss at 1.57540 is 10 points away once the bid is 1.57550: it stays, while the take profit moves; it may not be moved."""
    async with gateway_world(tmp_path, GBPUSD={"stops_level": 20}) as world:
        login = (await world.accounts(1))[0]
        order = await world.order(login, sl=1.57540)
        resting = await world.order(login, type="limit", price=1.57540)
        await world.price("1.57550", "1.57555")
        assert (await world.call("PUT", f"/orders/{order}", {"tp": 1.58}))["tp"] == D("1.58")
        assert await world.refused("PUT", f"/orders/{order}", {"sl": 1.57541}) == (400, "INVALID_STOPS")
        assert (await world.call("PUT", f"/orders/{resting}", {"tp": 1.59}))["tp"] == D("1.59")
        assert await world.refused("PUT", f"/orders/{resting}", {"price": 1.57539}) == (400, "INVALID_STOPS")


@pytest.mark.parametrize(("bid", "answer"), [("1.57545", 400), ("1.57550", 200)])
async def test_a_position_is_frozen_while_the_market_is_near_to_its_stop(tmp_path: Path, bid: str, answer: int) -> None:
    """10 points above a stop loss at 1.57540: from 1.57550 on it may be changed. Closing it is never held back."""
    async with gateway_world(tmp_path, GBPUSD={"freeze_level": 10}) as world:
        login = (await world.accounts(1))[0]
        order = await world.order(login, sl=1.57540)
        await world.price(bid, "1.57570")
        changed = await world.http.put(f"/orders/{order}", json={"sl": 1.57})
        assert changed.status_code == answer
        assert answer == 200 or changed.json()["error"] == "FROZEN"
        assert (await world.call("POST", f"/orders/{order}/close"))["state"] == "closed"


@pytest.mark.parametrize(
    ("side", "kind", "price", "limit_price"),
    [
        ("buy", "limit", "1.57565", NONE),
        ("sell", "stop", "1.57555", NONE),
        ("buy", "stop_limit", "1.57579", D("1.57")),
    ],
)
async def test_a_pending_order_is_frozen_while_the_market_is_near_to_it(
    tmp_path: Path, side: Any, kind: Any, price: str, limit_price: Decimal
) -> None:
    """5, 5 and 9 points away, 10 are needed. With the market further off it is changed, and cancelled; time cancels it at any distance."""
    async with gateway_world(tmp_path, GBPUSD={"freeze_level": 10}) as world:
        login = (await world.accounts(1))[0]
        made: dict[str, Any] = {"side": side, "type": kind, "price": float(price), "limit_price": float(limit_price)}
        order = await world.order(login, **made)
        brief = await world.order(login, expiration=world.now // 1000 + 60, **made)
        assert await world.refused("PUT", f"/orders/{order}", {"tp": 1.4 if side == "sell" else 1.9}) == (400, "FROZEN")
        assert await world.refused("DELETE", f"/orders/{order}") == (400, "FROZEN")
        world.now += 60_000
        await world.venue.look()
        assert [gone.order for gone in (await world.told_rows())["pending.cancelled"]] == [brief]
        far = ("1.60000", "1.60010") if (side, kind) != ("buy", "stop_limit") else ("1.55000", "1.55010")
        await world.price(*far)
        assert (await world.call("DELETE", f"/orders/{order}"))["state"] == "cancelled"


async def test_copies_are_frozen_like_any_order_and_the_refusal_is_told_again(tmp_path: Path) -> None:
    async with gateway_world(tmp_path, GBPUSD={"freeze_level": 10}) as world:
        login = (await world.accounts(1))[0]
        await world.handle(orders.TOPIC, open_copies([login], sl=D("1.57555")))
        opened = (await world.told_rows())["position.opened"][0].order
        row = PlaceRow(2, login, "buy", 10, D("1.57565"), NONE, NONE, NONE, 2)
        await world.handle(
            orders.TOPIC, PlaceCopies.of([row], master_order=8, master_login=99, symbol="GBPUSD", kind="limit", expires_ms=0)
        )
        resting = (await world.told_rows())["pending.placed"][0].order
        asked = (
            ProtectCopies.of([ProtectRow(1, login, opened, D("1.5"), NONE, 1, 1)], master_order=7),
            ReplaceCopies.of([ReplaceRow(2, login, resting, D("1.5"), NONE, NONE, NONE, 2, 1)], master_order=8, expires_ms=0),
            CancelCopies.of([CancelRow(2, login, resting, 2, 1)], master_order=8, reason="MASTER_CANCELLED"),
        )
        for _ in range(2):
            await world.handle(orders.TOPIC, *asked)
            refused = (await world.told_rows())["order.rejected"]
            assert [(one.action, one.reason) for one in refused] == [("protect", "FROZEN"), ("replace", "FROZEN"), ("cancel", "FROZEN")]
