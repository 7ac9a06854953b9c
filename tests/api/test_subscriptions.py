"""Subscribing through the client REST door: specification 1, its errors, cycles and limits."""

from typing import Any

import pytest

from tests.api.told import refused
from tests.api.world import ALICE, BOB, BOB_LOGIN, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, NOW_MS, SPEC_1_SUBSCRIPTION, SUBSCRIPTION, World

pytestmark = pytest.mark.anyio


async def test_spec_1_follower_and_subscription_examples(world: World) -> None:
    await world.good(ALICE, "POST", "/copytrade/master", MASTER)
    follower = await world.good(
        BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN, "enabled": 1, "manual_trading_mode": 1, "max_master_count": 1}
    )
    assert follower == {
        "id": 1,
        "login": BOB_LOGIN,
        "enabled": 1,
        "manual_trading_mode": 1,
        "max_master_count": 1,
        "created_time": 1778160000,
        "updated_time": 1778160000,
        "version": 1,
    }
    subscription = await world.good(BOB, "POST", "/copytrade/subscription", SPEC_1_SUBSCRIPTION)
    assert {key: subscription[key] for key in SPEC_1_SUBSCRIPTION} == SPEC_1_SUBSCRIPTION
    assert list(subscription)[: len(SPEC_1_SUBSCRIPTION) + 3] == ["id", *SPEC_1_SUBSCRIPTION, "created_time", "updated_time"]
    event = (await world.config_events())[-1]
    assert (event["type"], event["copy_existing"], event["subscription"]["created_ms"]) == ("subscription.saved", False, NOW_MS)
    mine = await world.good(BOB, "GET", "/copytrade/my")
    assert (mine["masters"], mine["followers"], mine["subscriptions"]) == ([], [follower], [subscription])
    masters = await world.good(ALICE, "GET", "/copytrade/my")
    assert [len(masters[key]) for key in ("masters", "followers", "subscriptions")] == [1, 0, 1]


async def test_spec_1_subscription_errors(world: World) -> None:
    create = ("POST", "/copytrade/subscription")
    await refused(world, 403, "INVALID_ACCOUNT", ALICE, *create, SUBSCRIPTION)
    await refused(world, 403, "INVALID_ACCOUNT", BOB, *create, SUBSCRIPTION | {"follower_login": 999})
    await refused(world, 403, "FOLLOWER_NOT_FOUND", BOB, *create, SUBSCRIPTION)
    await world.good(BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN})
    await refused(world, 403, "MASTER_NOT_FOUND", BOB, *create, SUBSCRIPTION)
    master = await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"visibility": "private"})
    await refused(world, 403, "MASTER_NOT_AVAILABLE", BOB, *create, SUBSCRIPTION)
    await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"visibility": "public", "allowed_follower_modes": 1})
    await refused(world, 403, "FOLLOWER_MODE_NOT_ALLOWED", BOB, *create, SUBSCRIPTION)
    await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"enabled": 0, "allowed_follower_modes": 0})
    await refused(world, 403, "MASTER_NOT_AVAILABLE", BOB, *create, SUBSCRIPTION)
    await world.good(ALICE, "PUT", f"/copytrade/master/{master['id']}", {"enabled": 1})
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await refused(world, 409, "SUBSCRIPTION_ALREADY_EXISTS", BOB, *create, SUBSCRIPTION)
    await refused(world, 409, "MASTER_ALREADY_EXISTS", ALICE, "POST", "/copytrade/master", MASTER)
    await refused(world, 409, "FOLLOWER_ALREADY_EXISTS", BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN})


async def test_a_private_master_takes_its_owners_followers(world: World) -> None:
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"visibility": "private"})
    await world.good(ALICE, "POST", "/copytrade/follower", {"login": FOLLOWER_LOGIN})
    await world.good(ALICE, "POST", "/copytrade/subscription", SUBSCRIPTION | {"follower_login": FOLLOWER_LOGIN})


@pytest.mark.parametrize(
    "settings",
    [
        {"volume_mode": 0},
        {"volume_mode": 1, "risk_multiplier": 0},
        {"volume_mode": 2, "ratio_multiplier": 0},
        {"risk_multiplier": "1"},
        {"risk_multiplier": 0.000000001},
        {"risk_multiplier": -1},
        {"min_volume": 5, "max_volume": 4},
        {"symbols_mode": 1},
        {"symbols_mode": 1, "symbols": "GBPUSD,,EURUSD"},
        {"allocation_percent": 101},
        {"fixed_volume": 1.5},
        {"status": 3},
        {"volume_mode": 4},
        {"small_volume_policy": "raise"},
        {"resumed_ms": 1},
        {"version": 2},
    ],
)
async def test_bad_subscription_settings(world: World, settings: dict[str, Any]) -> None:
    await world.pair()
    await refused(world, 400, "INVALID_DATA", BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | settings)
    created = await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await refused(world, 400, "INVALID_DATA", BOB, "PUT", f"/copytrade/subscription/{created['id']}", settings)
    assert (await world.good(BOB, "GET", "/copytrade/my"))["subscriptions"] == [created]


async def test_cycles_and_self_follow_are_refused(world: World) -> None:
    await world.pair()
    await world.good(ALICE, "POST", "/copytrade/follower", {"login": MASTER_LOGIN})
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN})
    await refused(
        world, 409, "COPY_CYCLE", ALICE, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": MASTER_LOGIN}
    )
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await refused(
        world, 409, "COPY_CYCLE", ALICE, "POST", "/copytrade/subscription", {"master_login": BOB_LOGIN, "follower_login": MASTER_LOGIN}
    )
    # 100002 copies 200001 copies 100001: 100001 may not copy 100002.
    await world.good(ALICE, "POST", "/copytrade/follower", {"login": FOLLOWER_LOGIN})
    await world.good(ALICE, "POST", "/copytrade/subscription", {"master_login": BOB_LOGIN, "follower_login": FOLLOWER_LOGIN})
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"login": FOLLOWER_LOGIN})
    await refused(
        world, 409, "COPY_CYCLE", ALICE, "POST", "/copytrade/subscription", {"master_login": FOLLOWER_LOGIN, "follower_login": MASTER_LOGIN}
    )


async def test_master_count_and_allocation(world: World) -> None:
    _, follower = await world.pair()
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"login": FOLLOWER_LOGIN})
    first = await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"allocation_percent": 60})
    second = SUBSCRIPTION | {"master_login": FOLLOWER_LOGIN, "allocation_percent": 50}
    await refused(world, 409, "MAX_MASTER_COUNT", BOB, "POST", "/copytrade/subscription", second)
    await world.good(BOB, "PUT", f"/copytrade/follower/{follower['id']}", {"max_master_count": 2})
    await refused(world, 409, "ALLOCATION_EXCEEDED", BOB, "POST", "/copytrade/subscription", second)
    await refused(world, 409, "ALLOCATION_EXCEEDED", BOB, "POST", "/copytrade/subscription", second | {"allocation_percent": 100})
    added = await world.good(BOB, "POST", "/copytrade/subscription", second | {"allocation_percent": 40})
    await refused(
        world, 409, "ALLOCATION_EXCEEDED", BOB, "PUT", f"/copytrade/subscription/{added['id']}", {"allocation_percent": 40.00000001}
    )
    await refused(world, 409, "MAX_MASTER_COUNT", BOB, "PUT", f"/copytrade/follower/{follower['id']}", {"max_master_count": 1})
    # A disabled subscription does not count; switching it on again does.
    await world.good(BOB, "PUT", f"/copytrade/subscription/{first['id']}", {"status": 2})
    await world.good(BOB, "PUT", f"/copytrade/follower/{follower['id']}", {"max_master_count": 1})
    await refused(world, 409, "MAX_MASTER_COUNT", BOB, "PUT", f"/copytrade/subscription/{first['id']}", {"status": 0})


async def test_without_any_allocation_set_masters_may_share_the_account(world: World) -> None:
    await world.pair()
    await world.good(BOB, "PUT", "/copytrade/follower/1", {"max_master_count": 2})
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"login": FOLLOWER_LOGIN})
    for login in (MASTER_LOGIN, FOLLOWER_LOGIN):
        await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"master_login": login})


async def test_history_of_a_subscriptions_settings(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"max_positions": 1})
    world.now += 5000
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"max_positions": 2})
    history = await world.good(BOB, "GET", "/copytrade/subscription/1/history")
    seen = [(row["version"], row["valid_from"], row["actor"], row["settings"]["max_positions"]) for row in history["rows"]]
    assert seen == [(1, 1778160000, "SESSION_CUSTOMER:8", 1), (2, 1778160005, "SESSION_CUSTOMER:8", 2)]


async def test_a_stop_is_taken_back_although_the_clock_went_back(world: World) -> None:
    """Who holds the stop lifts it for a later `resumed_ms` alone: one of a clock that was an hour ahead would lock it for that hour."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    times = []
    for back in (0, 3_600_000):
        world.now -= back
        await world.good(BOB, "PUT", "/copytrade/subscription/1", {"resume": 1})
        times.append((await world.config_events())[-1]["subscription"]["resumed_ms"])
    assert times[0] < times[1]


async def test_a_later_version_of_the_settings_holds_from_later_although_the_clock_went_back(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    world.now -= 3_600_000
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"max_positions": 3})
    rows = (await world.good(BOB, "GET", "/copytrade/subscription/1/history"))["rows"]
    assert [row["valid_from"] for row in rows] == [NOW_MS // 1000] * 2
