"""Live pages: they load their lists after the stream has begun, and what is told meanwhile is put over them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from console import live
from nicegui import ui
from nicegui.testing import User

from tests.api.world import BOB, BOB_LOGIN, MASTER_LOGIN, SUBSCRIPTION, World
from tests.console.stage import Wire, log_in, sees, simulated, until

pytestmark = pytest.mark.anyio

POSITIONS = "/copytrade/positions/search"
REWARDS = "/copytrade/rewards/search"
POSITION = {
    "order": 5,
    "login": BOB_LOGIN,
    "symbol": "GBPUSD",
    "side": "buy",
    "volume": 100,
    "volume_initial": 100,
    "price": 1.5,
    "sl": 0,
    "tp": 0,
    "open_time": 1_778_160_000,
    "mark_price": 1.5,
    "profit": 12.5,
    "subscription_id": 1,
    "client_id": "",
}
ACCRUAL = {
    "id": 1,
    "subscription_id": 1,
    "master_login": MASTER_LOGIN,
    "follower_login": BOB_LOGIN,
    "reward_type": 1,
    "state": 2,
    "period_from": 1_778_160_000,
    "period_to": 1_778_170_000,
    "base_amount": 100,
    "fee_amount": 20,
    "currency": "USD",
    "created_time": 1_778_170_000,
    "updated_time": 1_778_170_000,
    "payout_account_login": MASTER_LOGIN,
    "source_order": None,
    "charge_order": 1,
    "payout_order": 2,
    "failure_reason": "",
    "payout_amount": 20,
    "payout_currency": "USD",
    "policy_id": 1,
    "policy_version": 1,
    "formula": "",
    "ref_accrual_id": None,
    "inputs": "",
}


def listed(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"rows": list(rows), "count": len(rows)}


def rows_of(user: User, label: str) -> list[dict[str, Any]]:
    """The rows of a page's table."""
    return next((one.rows for one in user.find(ui.table).elements if one.props.get("aria-label") == label), [])


@pytest.fixture
async def wire(world: World) -> Wire:
    """Bob copies Alice."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    return Wire(world)


async def test_the_lists_are_asked_for_once_the_stream_has_begun(
    world: World, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEGIN_S", 15)
    async with simulated(world, tmp_path, wire) as user:
        await log_in(user, BOB)
        await user.open("/copying")
        await asyncio.sleep(0.1)
        assert wire.count(POSITIONS) == 0
        wire.tell("ready", resumed=0)
        await sees(user, "Live", f"Account {BOB_LOGIN}")
        await asyncio.sleep(1.2)
        assert wire.count(POSITIONS) == 1, "and not again"


async def test_lists_that_were_loaded_before_the_stream_began_are_loaded_again(world: World, wire: Wire, tmp_path: Path) -> None:
    async with simulated(world, tmp_path, wire) as user:
        await log_in(user, BOB)
        await user.open("/copying")
        await sees(user, "Connecting", f"Account {BOB_LOGIN}")
        assert wire.count(POSITIONS) == 1
        wire.tell("ready", resumed=0)
        await until(lambda: wire.count(POSITIONS) == 2, "the lists are not asked for again")
        await sees(user, "Live")
        wire.tell("ready", resumed=1)  # all that was missed is told
        await asyncio.sleep(1.2)
        assert wire.count(POSITIONS) == 2


async def test_what_is_told_while_the_lists_are_asked_for_is_put_over_their_answers(world: World, wire: Wire, tmp_path: Path) -> None:
    released = asyncio.Event()

    async def positions(_: Any) -> Any:
        await released.wait()
        return listed(POSITION, POSITION | {"order": 6})

    wire.answers[POSITIONS] = positions
    async with simulated(world, tmp_path, wire) as user:
        wire.tell("ready", resumed=0)
        await log_in(user, BOB)
        opening = asyncio.create_task(user.open("/copying"))
        await until(lambda: wire.count(POSITIONS), "the lists are not asked for")
        wire.tell("position.closed", order=5, login=BOB_LOGIN, symbol="GBPUSD")
        wire.tell("profit", order=6, login=BOB_LOGIN, symbol="GBPUSD", mark_price=1.6, profit=77)
        await asyncio.sleep(0.2)
        released.set()
        await opening
        await sees(user, f"Account {BOB_LOGIN}")
        assert [(row["order"], row["profit"]) for row in rows_of(user, "Open positions")] == [(6, "+77.00 USD")]


async def test_a_reset_loads_again_and_the_page_is_live(world: World, wire: Wire, tmp_path: Path) -> None:
    async with simulated(world, tmp_path, wire) as user:
        await log_in(user, BOB)
        await user.open("/copying")
        await sees(user, f"Account {BOB_LOGIN}")
        before = wire.count(POSITIONS)
        wire.tell("reset", reason="NOT_KEPT")
        await sees(user, "Live")
        await until(lambda: wire.count(POSITIONS) == before + 1, "the lists are not asked for again")


async def test_the_first_accrual_is_shown_on_a_page_that_had_none(world: World, tmp_path: Path) -> None:
    wire = Wire(world)
    found: list[dict[str, Any]] = []

    async def rewards(asked: Any) -> Any:
        return listed(*(one for one in found if one[asked["whereIn"][0][0]] in asked["whereIn"][0][1]))

    wire.answers[REWARDS] = rewards
    async with simulated(world, tmp_path, wire) as user:
        wire.tell("ready", resumed=0)
        await log_in(user, BOB)
        await user.open("/rewards")
        await sees(user, "No rewards yet", "Live")
        found.append(ACCRUAL)
        wire.tell("accrual", **ACCRUAL)
        await sees(user, "Settled", "20.00 USD")
        assert [row["id"] for row in rows_of(user, "Accruals")] == [1]
        # And from then on it moves by itself.
        wire.tell("accrual", **ACCRUAL | {"id": 2, "fee_amount": 5})
        await sees(user, "25.00 USD")
        assert [row["id"] for row in rows_of(user, "Accruals")] == [2, 1]
