"""Settings in dialogs: they are not written over a change that was not seen, and leave alone what the form does not have."""

import json
from pathlib import Path
from typing import Any

import pytest
from nicegui import ui
from nicegui.testing.user_interaction import UserInteraction
from sqlalchemy import text

from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER, SUBSCRIPTION, World
from tests.console.stage import Wire, log_in, press, sees, simulated, until

pytestmark = pytest.mark.anyio
OVERTAKEN = "This was changed meanwhile: look at it again (PRECONDITION_FAILED)"


@pytest.fixture
async def subscription(world: World) -> dict[str, Any]:
    """Bob copies Alice."""
    await world.pair()
    made: dict[str, Any] = await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    return made


async def test_a_subscription_that_was_changed_meanwhile_is_not_written_over(
    world: World, subscription: dict[str, Any], tmp_path: Path
) -> None:
    async with simulated(world, tmp_path, Wire(world)) as user:
        await log_in(user, BOB)
        await user.open("/copying")
        await sees(user, f"Account {BOB_LOGIN}")
        press(user, "Settings")
        await sees(user, "How much")
        await world.good(BOB, "PUT", f"/copytrade/subscription/{subscription['id']}", {"max_positions": 7})
        press(user, "Save")
        await sees(user, OVERTAKEN)
        [kept] = await world.rows("subscription")
        assert (kept["max_positions"], kept["version"]) == (7, 2)
        # Who calls it off sees what it is now, and may change that.
        press(user, "Cancel")
        await sees(user, "at most 7 open")
        press(user, "Settings")
        await sees(user, "How much")
        press(user, "Save")
        await until(lambda: "Saved" in user.notify.messages, "it is not saved")
        [kept] = await world.rows("subscription")
        assert (kept["max_positions"], kept["version"]) == (7, 3)


async def test_an_account_s_settings_are_not_written_over_either(world: World, subscription: dict[str, Any], tmp_path: Path) -> None:
    async with simulated(world, tmp_path, Wire(world)) as user:
        await log_in(user, BOB)
        await user.open("/copying")
        await sees(user, f"Account {BOB_LOGIN}")
        [gear] = [one for one in user.find(ui.button).elements if one.props.get("aria-label") == f"Settings of account {BOB_LOGIN}"]
        UserInteraction(user, {gear}, None).click()
        await sees(user, "Trading by hand")
        await world.good(BOB, "PUT", "/copytrade/follower/1", {"max_master_count": 3})
        press(user, "Save")
        await until(lambda: any(OVERTAKEN in said for said in user.notify.messages), "it is not said")
        [kept] = await world.rows("follower")
        assert (kept["max_master_count"], kept["version"]) == (3, 2)


async def test_a_strategy_s_profile_is_not_written_over_and_shown_as_it_is(world: World, tmp_path: Path) -> None:
    master = await world.good(ALICE, "POST", "/copytrade/master", MASTER)
    async with simulated(world, tmp_path, Wire(world)) as user:
        await log_in(user, ALICE)
        await user.open("/strategies")
        await sees(user, "Conservative FX")
        press(user, "Edit")
        await sees(user, "Edit strategy")
        await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"strategy_name": "Another name"})
        press(user, "Save")
        await until(lambda: any(OVERTAKEN in said for said in user.notify.messages), "it is not said")
        await sees(user, "Another name")
        [kept] = await world.rows("master")
        assert kept["strategy_name"] == "Another name"


@pytest.mark.parametrize("mode", [4, 5])
async def test_a_subscription_of_the_openapi_has_settings_too(
    world: World, subscription: dict[str, Any], tmp_path: Path, mode: int
) -> None:
    async with world.store.work() as work:
        await work.session.execute(text("UPDATE subscription SET volume_mode = :mode"), {"mode": mode})
    wire = Wire(world)
    async with simulated(world, tmp_path, wire) as user:
        await log_in(user, BOB)
        await user.open("/copying")
        await sees(user, "by its follow settings")
        press(user, "Settings")
        await sees(user, "Its volume is set by the follow settings of the OpenAPI")
        press(user, "Save")
        await until(lambda: wire.count(f"/copytrade/subscription/{subscription['id']}"), "nothing is saved")
        [sent] = [json.loads(one.content) for one in wire.asked if one.method == "PUT"]
        assert "volume_mode" not in sent
        await until(lambda: "Saved" in user.notify.messages, "it is not said")
        [kept] = await world.rows("subscription")
        assert (kept["volume_mode"], kept["version"]) == (mode, 2)
        assert wire.count("/copytrade/subscription/preview") == 0
