"""The marketplace in memory shows what the store holds: after own writes at once, after others' within a moment."""

import asyncio
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from api import filters, flow
from api.client.masters import FIELDS, OPTIONS
from api.context import Context
from shared.contracts.stats import StatsChanged

from tests.api.told import stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, World

pytestmark = pytest.mark.anyio


async def listed(context: Context, who: int, **given: Any) -> Any:
    query = filters.parse(given, FIELDS, 100, 500, OPTIONS)
    return json.loads(await context.marketplace.page(query, "30D", who))


async def test_every_change_is_shown(world: World) -> None:
    """An instance that keeps up by itself, and one that is asked now and then, show the same as it is changed by the first."""
    other = Context(world.store, world.settings)
    keeping_up = asyncio.create_task(world.context.marketplace.run())

    async def shown(who: int = EVE) -> dict[int, Any]:
        mine = await listed(world.context, who)
        assert mine == await listed(other, who)
        assert mine["count"] == len(mine["rows"])
        return {row["login"]: row for row in mine["rows"]}

    assert await shown() == {}
    await world.pair()
    first = (await shown())[MASTER_LOGIN]
    assert (first["followers"], first["own"], first["stats"]["pnl"], first["reward_policy"]["fee_percent"]) == (0, 0, 0, 20)
    assert (await shown(ALICE))[MASTER_LOGIN]["own"] == 1
    await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
    assert (await shown())[MASTER_LOGIN]["followers"] == 1
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": {"reward_type": 3, "fee_percent": 5}, "description": "new"})
    row = (await shown())[MASTER_LOGIN]
    assert (row["reward_policy"]["fee_percent"], row["description"]) == (5, "new")
    await world.good(BOB, "DELETE", "/copytrade/subscription/1")
    assert (await shown())[MASTER_LOGIN]["followers"] == 0
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"login": FOLLOWER_LOGIN, "visibility": "private"})
    assert (set(await shown()), set(await shown(ALICE))) == ({MASTER_LOGIN}, {MASTER_LOGIN, FOLLOWER_LOGIN})
    await world.good(ALICE, "PUT", "/copytrade/master/2", {"visibility": "public"})
    await world.good(ALICE, "DELETE", "/copytrade/master/1")
    assert set(await shown()) == {FOLLOWER_LOGIN}
    await world.good(ALICE, "POST", "/copytrade/master", MASTER)  # in the place of the one that is gone
    assert [row["id"] for row in (await listed(other, EVE))["rows"]] == [2, 3]
    keeping_up.cancel()
    with suppress(asyncio.CancelledError):
        await keeping_up


async def test_statistics_that_are_told_are_shown_within_a_moment(world: World) -> None:
    await world.pair()
    keeping_up = asyncio.create_task(world.context.marketplace.run())
    await listed(world.context, EVE)
    await world.told(flow.on_stats, StatsChanged.of([stats("30D", 30, roi=Decimal("7.5"))]))
    for _ in range(100):
        found = await listed(world.context, EVE, where=[["stats.roi", ">=", Decimal("7.5")]], orderBy=[["roi", "desc"]])
        if found["count"]:
            break
        await asyncio.sleep(0.05)
    assert (found["rows"][0]["stats"]["roi"], found["rows"][0]["stats"]["pnl_history"][-1]) == (7.5, 120.5)
    assert (await listed(world.context, EVE, where=[["stats.roi", ">", Decimal("7.5")]]))["rows"] == []
    keeping_up.cancel()
    with suppress(asyncio.CancelledError):
        await keeping_up
