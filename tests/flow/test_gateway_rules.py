"""Rules of the configuration that the venue itself keeps: halts, and whether a follower may trade by hand."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shared.contracts import config, orders
from shared.contracts.config import (
    Follower,
    FollowerDeleted,
    FollowerSaved,
    Halt,
    HaltKey,
    HaltSaved,
    HaltsHeld,
    ManualTradingMode,
    RecordsHeld,
)
from shared.contracts.event import Lost
from shared.store import migrate
from shared.store.engine import database_url
from sqlalchemy import create_engine, text

from tests.flow.gateway_world import GatewayWorld, close_copies, gateway_world, open_copies, place_copies

D = Decimal
pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


def halt(number: int = 1, *, version: int = 1, active: int = 1, mode: Any = "halt", scope: Any = "all", key: str = "") -> HaltSaved:
    return HaltSaved(halt=Halt(id=number, version=version, scope=scope, key=key, mode=mode, active=active))


async def test_a_halt_keeps_copies_from_opening_and_nothing_else(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1, 100_000)
    await world.handle(orders.TOPIC, open_copies([login], 1), place_copies([login]))
    await world.handle(config.TOPIC, halt(), halt(2, mode="reduce_only", scope="master", key="99"))
    await world.restart()
    await world.told()
    await world.handle(orders.TOPIC, open_copies([login], 2), close_copies(login, 10, master_order=1))
    rows = await world.told_rows()
    assert [row.reason for row in rows["order.rejected"]] == ["TRADING_HALTED"]
    assert len(rows["position.closed"]) == 1
    await world.order(login)  # by hand
    await world.told()
    await world.price("1.49", "1.4901")  # the pending copy is not filled either
    rows = await world.told_rows()
    assert [row.reason for row in rows["pending.cancelled"]] == ["TRADING_HALTED"]
    assert "position.opened" not in rows
    await world.handle(config.TOPIC, halt(active=0))
    await world.handle(orders.TOPIC, open_copies([login], 3))
    assert [row.reason for row in (await world.told_rows())["order.rejected"]] == ["REDUCE_ONLY"]
    await world.handle(config.TOPIC, halt(2, active=0, mode="reduce_only", scope="master", key="99"))
    await world.handle(orders.TOPIC, open_copies([login], 4))
    assert len((await world.told_rows())["position.opened"]) == 1


async def test_a_followers_manual_trading_mode_is_enforced(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1, 100_000)
    await world.handle(orders.TOPIC, open_copies([login]))
    copied = (await world.told_rows())["position.opened"][0].order
    own = await world.order(login)
    pending = await world.order(login, type="limit", price=1.5)
    follower = Follower(id=1, login=login, customer_id=1, manual_trading_mode=ManualTradingMode.DISABLED)
    body = {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 1}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/orders", body),
        ("POST", f"/orders/{own}/close", {}),
        ("PUT", f"/orders/{own}", {"sl": 1.5}),
        ("DELETE", f"/orders/{pending}", None),
        ("POST", f"/orders/{copied}/close", {}),
        ("PUT", f"/orders/{copied}", {"sl": 1.5}),
    ]
    await world.handle(config.TOPIC, FollowerSaved(follower=follower))
    await world.restart()
    for call in calls:
        assert await world.refused(*call) == (400, "MANUAL_TRADING_DISABLED")
    await world.handle(orders.TOPIC, close_copies(login, 1))  # the copier itself is not held back
    assert "position.reduced" in await world.told_rows()
    follower = follower.model_copy(update={"manual_trading_mode": ManualTradingMode.ALLOW_NON_COPIED, "version": 2})
    await world.handle(config.TOPIC, FollowerSaved(follower=follower))
    for call in calls[4:]:
        assert await world.refused(*call) == (400, "MANUAL_TRADING_DISABLED")
    for method, path, sent in (calls[0], calls[2], calls[1], calls[3]):
        await world.call(method, path, sent)
    await world.handle(config.TOPIC, FollowerDeleted(follower=follower))
    await world.call(*calls[4])


async def test_a_snapshot_of_the_configuration_stands_for_what_was_lost(world: GatewayWorld) -> None:
    """Halt 1 and follower 1 are gone from what the api has: the snapshot does not have them. Follower 2 is there."""
    login, other = await world.accounts(2)
    follower = Follower(id=1, login=login, customer_id=1, manual_trading_mode=ManualTradingMode.DISABLED)
    await world.handle(config.TOPIC, halt(), FollowerSaved(follower=follower))
    await world.handle(config.TOPIC, FollowerSaved(follower=follower.model_copy(update={"id": 2, "login": other})))
    await world.handle(config.TOPIC, RecordsHeld(noun="subscription", first=1, last=9, ids=()), lost=Lost(1, 5))
    assert await _manual_order(world, login) == "MANUAL_TRADING_DISABLED"
    held = HaltsHeld(halts=(HaltKey("symbol", "EURUSD"),))
    await world.handle(config.TOPIC, RecordsHeld(noun="follower", first=1, last=9, ids=(2,)), held)
    await world.handle(config.TOPIC, halt(2, scope="symbol", key="EURUSD"))
    await world.restart()
    await world.order(login)
    assert await _manual_order(world, other) == "MANUAL_TRADING_DISABLED"
    await world.handle(orders.TOPIC, open_copies([login]))
    assert "position.opened" in await world.told_rows()
    await world.handle(orders.TOPIC, open_copies([login], 8, symbol="EURUSD"))
    assert [row.reason for row in (await world.told_rows())["order.rejected"]] == ["TRADING_HALTED"]


async def _manual_order(world: GatewayWorld, login: int) -> str:
    """The code that an order by hand is refused with; empty when it is filled."""
    answer = await world.http.post("/orders", json={"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 1})
    return str(answer.json().get("error", ""))


async def test_what_is_known_holds_until_the_snapshot_says_otherwise(world: GatewayWorld) -> None:
    """Trading is halted when a snapshot begins; before its last entry, which has the halt, the price reaches a copied limit order."""
    (login,) = await world.accounts(1)
    follower = Follower(id=1, login=login, customer_id=1, manual_trading_mode=ManualTradingMode.DISABLED)
    await world.handle(orders.TOPIC, place_copies([login]))
    await world.handle(config.TOPIC, halt(), FollowerSaved(follower=follower))
    await world.handle(config.TOPIC, HaltsHeld(halts=(HaltKey("all", ""),)), lost=Lost(1, 5))
    await world.told()
    await world.price("1.49", "1.4901")
    rows = await world.told_rows()
    assert [row.reason for row in rows["pending.cancelled"]] == ["TRADING_HALTED"]
    assert "position.opened" not in rows
    assert (await _manual_order(world, login)) == "MANUAL_TRADING_DISABLED"
    await world.handle(config.TOPIC, FollowerSaved(follower=follower), halt())
    await world.handle(orders.TOPIC, open_copies([login]))
    assert [row.reason for row in (await world.told_rows())["order.rejected"]] == ["TRADING_HALTED"]


async def test_a_halt_that_is_told_late_does_not_begin_again(world: GatewayWorld) -> None:
    """Versions 1 (halted), 2 (lifted), 1 again out of a dead letter; 3 halts anew, and 2 is late then. A halt that a restored api lost
    is lifted with its version, and one under a later id is another one, from version 1 on."""
    (login,) = await world.accounts(1, 100_000)
    copy = 0

    async def halted(*events: Any) -> bool:
        nonlocal copy
        copy += 1
        await world.handle(config.TOPIC, *events)
        await world.restart()
        await world.told()
        await world.handle(orders.TOPIC, open_copies([login], copy))
        return "order.rejected" in await world.told_rows()

    assert await halted(halt(version=1))
    assert not await halted(halt(version=2, active=0))
    assert not await halted(halt(version=1))
    assert await halted(halt(version=3))
    assert await halted(halt(version=2, active=0))
    assert not await halted(HaltsHeld(halts=()))
    assert not await halted(halt(version=1))
    assert await halted(halt(501, version=1))
    assert await halted(halt(version=4, active=0))
    assert not await halted(halt(501, version=2, active=0))


async def test_a_follower_that_is_told_late_changes_nothing(world: GatewayWorld) -> None:
    """Version 2 forbids trading by hand and 1, which is late, allows it. The end comes with version 2 and outweighs it; 2 told again
    begins nothing, and another follower of the same login, with a higher id, is a new one. When a restored api has lost that one, the first
    is there again."""
    (login,) = await world.accounts(1, 100_000)
    modes = ManualTradingMode

    def follower(number: int, version: int, mode: ManualTradingMode = modes.DISABLED) -> Follower:
        return Follower(id=number, version=version, login=login, customer_id=1, manual_trading_mode=mode)

    async def refusal(event: FollowerSaved | FollowerDeleted | RecordsHeld) -> str:
        await world.handle(config.TOPIC, event)
        await world.restart()
        return await _manual_order(world, login)

    assert await refusal(FollowerSaved(follower=follower(1, 2))) == "MANUAL_TRADING_DISABLED"
    assert await refusal(FollowerSaved(follower=follower(1, 1, modes.ALLOW_ALL))) == "MANUAL_TRADING_DISABLED"
    assert await refusal(FollowerDeleted(follower=follower(1, 1))) == "MANUAL_TRADING_DISABLED"
    assert await refusal(FollowerDeleted(follower=follower(1, 2))) == ""
    assert await refusal(FollowerSaved(follower=follower(1, 2))) == ""
    assert await refusal(FollowerSaved(follower=follower(2, 1))) == "MANUAL_TRADING_DISABLED"
    assert await refusal(FollowerDeleted(follower=follower(1, 9))) == "MANUAL_TRADING_DISABLED"
    assert await refusal(RecordsHeld(noun="follower", first=1, last=9, ids=(1,))) == ""
    assert await refusal(FollowerSaved(follower=follower(1, 21))) == "MANUAL_TRADING_DISABLED"


async def test_rules_without_a_version_hold_until_they_are_told_again(tmp_path: Path, new_store_url: Callable[[str], str]) -> None:
    url = new_store_url("gateway")
    migrate.upgrade("gateway", url, "0004")
    engine = create_engine(database_url(url, sync=True))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO halt (id, scope, key, mode) VALUES (1, 'all', '', 'halt')"))
        connection.execute(text("INSERT INTO manual (login, mode) VALUES (100001, 0)"))
    engine.dispose()
    async with gateway_world(tmp_path, url) as world:
        (login,) = await world.accounts(1)
        await world.handle(orders.TOPIC, open_copies([login]))
        assert [row.reason for row in (await world.told_rows())["order.rejected"]] == ["TRADING_HALTED"]
        assert await _manual_order(world, login) == "MANUAL_TRADING_DISABLED"
        follower = Follower(id=1, login=login, customer_id=1)
        await world.handle(config.TOPIC, halt(active=0), FollowerSaved(follower=follower))
        await world.handle(orders.TOPIC, open_copies([login], 2))
        assert "position.opened" in await world.told_rows()
        assert await _manual_order(world, login) == ""
