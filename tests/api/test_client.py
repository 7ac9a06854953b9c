"""The client REST door: specifications 1, 2 and 4, with their examples, ownership rules and error codes."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from api import flow
from shared.contracts.links import LinkRow, LinksChanged, LinkState
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState
from shared.contracts.stats import StatsChanged, StatsRow
from shared.contracts.trades import ClosedRow, PositionsClosed

from tests.api.world import ALICE, BOB, BOB_LOGIN, DEMO_LOGIN, EVE, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, NOW_MS, PERFORMANCE, World

pytestmark = pytest.mark.anyio

SUBSCRIPTION = {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN}

SPEC_1_SUBSCRIPTION = {
    **SUBSCRIPTION,
    "enabled": 1,
    "status": 0,
    "copy_mode": 0,
    "volume_mode": 1,
    "risk_multiplier": 1,
    "fixed_volume": 0,
    "copy_sl": 1,
    "copy_tp": 1,
    "copy_partial_close": 1,
    "copy_pending_orders": 0,
    "copy_existing_positions": 0,
    "reverse_direction": 0,
    "max_volume": 0,
    "min_volume": 0,
    "max_positions": 0,
    "symbols_mode": 0,
    "symbols": "",
}


def link(number: int, state: LinkState = LinkState.ACTIVE, phase: str = "open", reason: str = "", **more: Any) -> LinkRow:
    row = LinkRow(
        *(number, 1, BOB_LOGIN, 5000 + number, state, phase, reason, "GBPUSD", "buy", 10, 10, 20, 20),
        *(Decimal("1.58013"), Decimal(0), Decimal(0), NOW_MS, NOW_MS),
    )
    return row._replace(**more)


def links(*rows: LinkRow) -> LinksChanged:
    return LinksChanged.of(rows, master_login=MASTER_LOGIN, master_order=1001, master_symbol="GBPUSD")


async def refused(
    world: World, status: int, code: str, who: int | str | None, method: str, path: str, body: Any = None, **more: Any
) -> None:
    response = await world.call(who, method, path, body, **more)
    assert (response.status_code, response.json()["error"]) == (status, code), response.text
    assert set(response.json()) == {"error", "message"}


async def test_spec_2_create_master_example(world: World) -> None:
    body = {
        "login": 100001,
        "enabled": 1,
        "strategy_name": "Conservative FX",
        "description": "Low risk major pairs strategy",
        "visibility": "public",
        "allowed_follower_modes": 2,
        "reward_policy": {"reward_type": 1, "billing_period": "monthly", "fee_percent": 20, "hwm_enabled": 1},
    }
    master = await world.good(ALICE, "POST", "/copytrade/master", body)
    policy = master.pop("reward_policy")
    assert master == {
        "id": 1,
        "login": 100001,
        "enabled": 1,
        "strategy_name": "Conservative FX",
        "description": "Low risk major pairs strategy",
        "visibility": "public",
        "allowed_follower_modes": 2,
        "show_trade_history": 1,
        "show_followers": 1,
        "created_time": 1778160000,
        "updated_time": 1778160000,
        "version": 1,
    }
    assert policy == {
        "id": 1,
        "master_id": 1,
        "enabled": 1,
        "reward_type": 1,
        "billing_period": "monthly",
        "fee_amount": 0,
        "fee_percent": 20,
        "currency": "USD",
        "payout_account_login": 100001,
        "hwm_enabled": 1,
        "created_time": 1778160000,
        "updated_time": 1778160000,
        "master_login": 100001,
        "version": 1,
        "hwm_basis": "",
        "netting": "none",
        "rebate_sides": "both",
        "fee_cap": 0,
    }
    saved, policy_saved = await world.config_events()
    assert (saved["type"], saved["master"]["login"], saved["master"]["customer_id"]) == ("master.saved", 100001, ALICE)
    assert (policy_saved["type"], policy_saved["policy"]["fee_percent"], policy_saved["policy"]["valid_from_ms"]) == (
        "policy.saved",
        "20",
        NOW_MS,
    )


async def test_spec_2_errors(world: World) -> None:
    create = (ALICE, "POST", "/copytrade/master")
    await refused(world, 400, "ACCOUNT_NOT_FOUND", *create, MASTER | {"login": 999})
    await refused(world, 400, "MASTER_ACCOUNT_MUST_BE_REAL", *create, MASTER | {"login": DEMO_LOGIN})
    await refused(world, 403, "INVALID_ACCOUNT", *create, MASTER | {"login": BOB_LOGIN})
    await refused(world, 400, "REWARD_POLICY_REQUIRED", *create, {key: value for key, value in MASTER.items() if key != "reward_policy"})
    await refused(world, 400, "REWARD_POLICY_REQUIRED", *create, MASTER | {"reward_policy": None})
    for payout in (BOB_LOGIN, DEMO_LOGIN, 999):
        body = MASTER | {"reward_policy": PERFORMANCE | {"payout_account_login": payout}}
        await refused(world, 400, "INVALID_PAYOUT_ACCOUNT", *create, body)
    wrong: list[dict[str, Any]] = [
        {"reward_type": 5},
        {"reward_type": 1, "fee_percent": 0},
        {"reward_type": 1, "fee_percent": 101},
        {"reward_type": 1, "fee_percent": 20, "fee_amount": 1},
        {"reward_type": 1, "fee_percent": "20"},
        {"reward_type": 1, "fee_percent": 20, "billing_period": "weekly"},
        {"reward_type": 0, "fee_amount": 10, "hwm_enabled": 1},
        {"reward_type": 3, "fee_percent": 20, "billing_period": "monthly"},
        {"reward_type": 4, "fee_amount": -1},
        {"reward_type": 1, "fee_percent": 20, "customer_id": BOB},
    ]
    for policy in wrong:
        await refused(world, 400, "INVALID_REWARD_POLICY", *create, MASTER | {"reward_policy": policy})
    assert await world.rows("master") == []
    assert await world.config_events() == []


@pytest.mark.parametrize(
    "body",
    [
        MASTER | {"customer_id": ALICE},
        MASTER | {"id": 5},
        MASTER | {"enabled": 2},
        MASTER | {"enabled": True},
        MASTER | {"enabled": "1"},
        MASTER | {"login": 100001.0},
        MASTER | {"login": -1},
        MASTER | {"login": 2**63},
        MASTER | {"strategy_name": "  "},
        MASTER | {"strategy_name": 5},
        MASTER | {"strategy_name": "a\x00b"},
        MASTER | {"visibility": "secret"},
        MASTER | {"allowed_follower_modes": 3},
        [MASTER],
        "text",
        None,
    ],
)
async def test_bad_master_is_refused_and_nothing_is_kept(world: World, body: Any) -> None:
    await refused(world, 400, "INVALID_DATA", ALICE, "POST", "/copytrade/master", body)
    assert await world.rows("master") == []


@pytest.mark.parametrize(
    "raw", ["{", '{"login": NaN}', '{"login": 1e999}', '{"login": Infinity}', "[" * 100_000, '{"a":1,"a":1}', '"\\ud800"', "\xff"]
)
async def test_what_is_no_json_is_refused(world: World, raw: str) -> None:
    headers = world.customer(ALICE) | {"content-type": "application/json"}
    response = await world.http.post("/copytrade/follower", content=raw.encode("latin-1"), headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "INVALID_DATA")


async def test_ids_may_be_strings_of_digits(world: World) -> None:
    follower = await world.good(ALICE, "POST", "/copytrade/follower", {"login": str(FOLLOWER_LOGIN)})
    assert follower["login"] == FOLLOWER_LOGIN


async def test_sessions(world: World) -> None:
    path = "/copytrade/my"
    await refused(world, 401, "INVALID_CUSTOMER_SESSION", None, "GET", path)
    await refused(world, 401, "INVALID_CUSTOMER_SESSION", "SESSION_MANAGER", "GET", path)
    for token in ("nonsense", "a.b.c", world.token("SESSION_CUSTOMER", ALICE)[:-2] + "xx", world.token("SESSION_CUSTOMER", "abc")):
        await refused(world, 401, "INVALID_CUSTOMER_SESSION", None, "GET", path, headers={"Authorization": token})
    token = world.token("SESSION_CUSTOMER", ALICE)
    for written in (token, f"Bearer {token}", f"bearer {token}"):
        await world.good(None, "GET", path, headers={"Authorization": written})
    world.now += 3600_000
    await refused(world, 401, "INVALID_CUSTOMER_SESSION", None, "GET", path, headers={"Authorization": token})
    # The session is looked at before the body: who may not enter is told nothing about it.
    await refused(world, 401, "INVALID_CUSTOMER_SESSION", None, "POST", "/copytrade/master", {"nonsense": 1})


async def test_login(world: World) -> None:
    await world.good(
        "SESSION_MANAGER",
        "POST",
        "/manager/MngCreateCustomer",
        {"id": ALICE, "email": "Alice@example.com", "password": "correct horse", "name": "Alice"},
    )
    answer = await world.good(None, "POST", "/customer/auth/login", {"email": "alice@EXAMPLE.com", "password": "correct horse"})
    assert (answer["id"], answer["name"], [account["login"] for account in answer["accounts"]]) == (
        ALICE,
        "Alice",
        [100001, 100002, 100003],
    )
    accounts = await world.good(None, "GET", "/customer/session/accounts", headers={"Authorization": answer["__token"]})
    assert accounts["accounts"][2]["mode"] == "DEMO"
    assert accounts["accounts"][0]["balance"] == 10000
    for email, password in (("alice@example.com", "wrong"), ("nobody@example.com", "correct horse")):
        await refused(
            world, 403, "CUSTOMER_NOT_FOUND_OR_INCORRECT", None, "POST", "/customer/auth/login", {"email": email, "password": password}
        )
    stored = (await world.rows("customer"))[0]
    assert "correct horse" not in str(stored)
    assert stored["password_hash"].startswith("$argon2id$")


async def test_a_disabled_customer_is_out_at_once(world: World) -> None:
    await world.good("SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", {"id": ALICE, "email": "a@b.c", "password": "correct horse"})
    await world.good(ALICE, "GET", "/copytrade/my")
    await world.good("SESSION_MANAGER", "POST", "/manager/MngUpdateCustomer", {"id": ALICE, "enabled": 0})
    await refused(world, 401, "INVALID_CUSTOMER_SESSION", ALICE, "GET", "/copytrade/my")
    await refused(world, 403, "CUSTOMER_DISABLED", None, "POST", "/customer/auth/login", {"email": "a@b.c", "password": "correct horse"})


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


async def test_updates_belong_to_the_owner(world: World) -> None:
    master, follower = await world.pair()
    subscription = await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    for noun, record, owner, other in (
        ("master", master, ALICE, BOB),
        ("follower", follower, BOB, ALICE),
        ("subscription", subscription, BOB, ALICE),
    ):
        path = f"/copytrade/{noun}/{record['id']}"
        for method in ("PUT", "DELETE"):
            body = {"enabled": 0} if method == "PUT" else None
            await refused(world, 403, "PERMISSION_DENIED", other, method, path, body)
            await refused(world, 404, "RET_ERR_NOTFOUND", owner, method, f"/copytrade/{noun}/77", body)
        changed = await world.good(owner, "PUT", path, {"enabled": 0})
        assert (changed["enabled"], changed["version"]) == (0, 2)
        assert {**record, "enabled": 0, "version": 2, "updated_time": changed["updated_time"]} == changed
    await refused(world, 400, "INVALID_DATA", ALICE, "PUT", "/copytrade/master/1", {"login": FOLLOWER_LOGIN})
    await refused(world, 403, "INVALID_ACCOUNT", ALICE, "PUT", "/copytrade/master/1", {"login": BOB_LOGIN})
    await refused(world, 400, "INVALID_DATA", BOB, "PUT", "/copytrade/subscription/1", {"master_login": 5})


async def test_a_new_policy_is_a_new_version(world: World) -> None:
    await world.pair()
    world.now += 5000
    changed = await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": {"reward_type": 3, "fee_percent": 10.5}})
    assert (changed["reward_policy"]["billing_period"], changed["reward_policy"]["hwm_enabled"]) == ("per_trade", 0)
    policy = (await world.config_events())[-1]["policy"]
    assert (policy["version"], policy["fee_percent"], policy["valid_from_ms"], policy["created_ms"]) == (2, "10.5", NOW_MS + 5000, NOW_MS)
    versions = [(row["noun"], row["version"]) for row in await world.rows("version") if row["noun"] == "reward_policy"]
    assert versions == [("reward_policy", 1), ("reward_policy", 2)]


async def test_options_of_a_policy_are_kept_and_told(world: World) -> None:
    await world.pair()

    async def put(**policy: Any) -> Any:
        return (await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": policy}))["reward_policy"]

    navs = await put(reward_type=1, fee_percent=20, hwm_basis="nav_per_share", fee_cap=250.5)
    assert (navs["hwm_basis"], navs["fee_cap"]) == ("nav_per_share", 250.5)
    assert (await put(reward_type=3, fee_percent=10, netting="weekly"))["netting"] == "weekly"
    assert (await put(reward_type=2, fee_amount=3, rebate_sides="open"))["rebate_sides"] == "open"
    managed = await put(reward_type=4, fee_percent=2, billing_period="quarterly")
    assert (managed["fee_amount"], managed["fee_percent"], managed["rebate_sides"]) == (0, 2, "both")
    kept = [json.loads(row["state"]) for row in await world.rows("version WHERE noun = 'reward_policy' ORDER BY version")]
    told = [event["policy"] for event in await world.config_events() if event["type"] == "policy.saved"]
    assert told == kept
    assert [state["hwm_basis"] for state in kept] == ["", "nav_per_share", "", "", ""]
    assert [(state["netting"], state["rebate_sides"]) for state in kept[2:]] == [("weekly", "both"), ("none", "open"), ("none", "both")]
    assert [Decimal(state["fee_cap"]) for state in kept[:2]] == [0, Decimal("250.5")]
    for wrong in (
        {"reward_type": 4, "fee_percent": 2, "fee_amount": 5},
        {"reward_type": 4},
        {"reward_type": 4, "fee_amount": 5, "fee_cap": 1},
        {"reward_type": 0, "fee_amount": 5, "netting": "weekly"},
        {"reward_type": 1, "fee_percent": 5, "hwm_basis": "period"},
    ):
        await refused(world, 400, "INVALID_REWARD_POLICY", ALICE, "PUT", "/copytrade/master/1", {"reward_policy": wrong})


async def test_deletes_with_active_links_need_a_close_policy(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await world.told(flow.on_links, links(link(1)))
    for who, path in ((BOB, "subscription/1"), (BOB, "follower/1"), (ALICE, "master/1")):
        await refused(world, 409, "ACTIVE_LINKS", who, "DELETE", f"/copytrade/{path}")
        await refused(world, 400, "INVALID_DATA", who, "DELETE", f"/copytrade/{path}?close_policy=sell")
    assert await world.good(BOB, "DELETE", "/copytrade/subscription/1?close_policy=close") == {"data": "OK"}
    event = (await world.config_events())[-1]
    assert (event["type"], event["close_policy"]) == ("subscription.deleted", "close")
    await world.good(BOB, "DELETE", "/copytrade/follower/1", {"close_policy": "detach"})
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
    await world.good(ALICE, "DELETE", "/copytrade/master/1")
    assert [event["type"] for event in await world.config_events()][-3:] == ["follower.deleted", "master.deleted", "policy.deleted"]
    assert (
        await world.rows("master")
        == await world.rows("follower")
        == await world.rows("subscription")
        == await world.rows("reward_policy")
        == []
    )


async def test_an_id_is_never_given_out_again(world: World) -> None:
    await world.pair()
    first = await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await world.good(BOB, "DELETE", f"/copytrade/subscription/{first['id']}")
    assert (await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION))["id"] == first["id"] + 1


async def test_deleting_a_master_ends_its_subscriptions(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await world.good(ALICE, "DELETE", "/copytrade/master/1")
    assert [event["type"] for event in await world.config_events()][-3:] == ["subscription.deleted", "master.deleted", "policy.deleted"]


async def test_copying_existing_positions_is_asked_for_by_the_change_that_says_so(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"copy_existing_positions": 1})
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"max_positions": 3})
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"copy_existing_positions": 1})
    asked = [event["copy_existing"] for event in await world.config_events() if event["type"] == "subscription.saved"]
    assert asked == [True, False, True]


def stats(period: str, days: int, **more: Any) -> StatsRow:
    history = (*[Decimal(0)] * (days - 1), Decimal("120.50"))
    row = StatsRow(
        *(
            MASTER_LOGIN,
            period,
            days,
            Decimal("8.42"),
            Decimal("8.5"),
            Decimal("1240.50"),
            Decimal("61.54"),
            Decimal("7.8"),
            Decimal("47.71"),
        ),
        *(26, history, "USD", 12, "exact", NOW_MS),
    )
    return row._replace(**more)


async def test_spec_4_masters(world: World) -> None:
    await world.pair()
    new = (await world.good(EVE, "GET", "/copytrade/masters"))["rows"][0]
    assert new["stats"]["pnl_history"] == [0] * 30
    assert {
        key: new["stats"][key] for key in ("period", "period_days", "roi", "pnl", "win_rate", "max_drawdown", "avg_pnl_per_trade", "trades")
    } == {
        "period": "30D",
        "period_days": 30,
        "roi": None,
        "pnl": 0,
        "win_rate": None,
        "max_drawdown": None,
        "avg_pnl_per_trade": None,
        "trades": 0,
    }
    await world.told(flow.on_stats, StatsChanged.of([stats("90D", 90), stats("7D", 7, roi=Decimal(1))]))
    example = {
        "stats_period": "90D",
        "where": [["stats.roi", ">=", 5], ["stats.win_rate", ">=", 55], ["stats.trades", ">=", 10], ["stats.max_drawdown", "<=", 20]],
        "orderBy": [["stats.pnl", "desc"]],
        "limit": 50,
        "offset": 0,
    }
    by_body = await world.good(EVE, "GET", "/copytrade/masters", example)
    assert by_body["count"] == 1
    row = by_body["rows"][0]
    assert list(row)[:12] == [
        *("id", "login", "enabled", "strategy_name", "description", "visibility", "allowed_follower_modes"),
        *("show_trade_history", "show_followers", "created_time", "updated_time", "version"),
    ]
    assert (row["stats"]["roi"], row["stats"]["pnl"], row["stats"]["trades"], row["stats"]["pnl_history"][-1]) == (8.42, 1240.5, 26, 120.5)
    assert "customer_id" not in row
    assert await world.good(EVE, "POST", "/copytrade/masters/search", example) == by_body
    query = {"period": "90D", "where": '[["roi", ">=", 5]]', "orderBy": '["pnl", "DESC"]', "limit": "50"}
    assert (await world.good(EVE, "GET", "/copytrade/masters", params=query))["rows"] == by_body["rows"]
    assert (await world.good(EVE, "GET", '/copytrade/masters?stats_period=7D&where=[["roi",">=",5]]'))["rows"] == []


async def test_masters_seen_are_public_and_enabled_or_own(world: World) -> None:
    await world.pair()
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"login": FOLLOWER_LOGIN, "visibility": "private"})
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN, "enabled": 0})
    seen = {who: [row["login"] for row in (await world.good(who, "GET", "/copytrade/masters"))["rows"]] for who in (ALICE, BOB, EVE)}
    assert seen == {ALICE: [MASTER_LOGIN, FOLLOWER_LOGIN], BOB: [MASTER_LOGIN, BOB_LOGIN], EVE: [MASTER_LOGIN]}
    page = await world.good(ALICE, "GET", "/copytrade/masters?limit=1&offset=1")
    assert (len(page["rows"]), page["count"]) == (1, 2)


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=501",
            "limit=abc",
            "offset=-1",
            "offset=1e3",
            "stats_period=1Y",
            "nonsense=1",
            "limit=1&limit=2",
            "customer_id=7",
        ),
        *('where=[["customer_id","=",7]]', 'where=[["id","~",7]]', 'where=[["id"]]', "where=7", 'where=[["id","=","x"]]', "where=nonsense"),
        *('where=[["roi","=",NaN]]', 'where=[["strategy_name","=",5]]', 'where=[["id","like","1"]]', 'orderBy=[["password","asc"]]'),
        *('orderBy=[["id","up"]]', 'whereIn=[["id",7]]', 'whereBetween=[["id",[1]]]', 'where=[["id","=",1e400]]'),
    ],
)
async def test_bad_filters(world: World, query: str) -> None:
    await refused(world, 400, "INVALID_DATA", ALICE, "GET", f"/copytrade/masters?{query}")


async def test_trade_links_show_copies_and_skips_to_both_sides(world: World) -> None:
    await world.pair()
    await world.told(
        flow.on_links, links(link(1, inputs='{"equity":"10000"}'), link(2, LinkState.CANCELLED, "skipped", "BELOW_MIN", follower_order=0))
    )
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed", "MASTER_CLOSED", volume_now=0)))
    table = await world.good(BOB, "GET", "/copytrade/trade-links")
    assert table["structure"][:9] == [
        *(
            "id",
            "subscription_id",
            "master_login",
            "follower_login",
            "master_order",
            "follower_order",
            "state",
            "created_time",
            "updated_time",
        )
    ]
    assert table["rows"][0][:9] == [1, 1, MASTER_LOGIN, BOB_LOGIN, 1001, 5001, 1, 1778160000, 1778160000]
    found = await world.good(ALICE, "GET", "/copytrade/trade-links?format=objects&state=3")
    assert (found["count"], found["rows"][0]["reason"], found["rows"][0]["price"]) == (1, "BELOW_MIN", 1.58013)
    assert await world.good(EVE, "GET", "/copytrade/trade-links") == {"structure": table["structure"], "rows": [], "count": 0}
    managers = await world.good(
        "SESSION_MANAGER", "POST", "/manager/MngGetCopyTradeLinksByFilter", {"limit": 10, "offset": 0, "where": [["id", "=", 1]]}
    )
    assert managers["rows"][0][managers["structure"].index("inputs")] == '{"equity":"10000"}'


async def test_rewards(world: World) -> None:
    accrual = AccrualRow(
        *(
            31,
            1,
            MASTER_LOGIN,
            BOB_LOGIN,
            3,
            NOW_MS - 60_000,
            NOW_MS,
            Decimal("25.123456789123"),
            Decimal("5.02"),
            "USD",
            AccrualState.FAILED,
        ),
        *(NOW_MS, NOW_MS, MASTER_LOGIN, Decimal("5.02"), "USD", 1, 1, 5001, 0, 0, "NOT_ENOUGH_MONEY", "profit_share_per_trade", "{}"),
    )
    await world.told(flow.on_rewards, AccrualsChanged.of([accrual]))
    await world.told(flow.on_rewards, AccrualsChanged.of([accrual._replace(state=AccrualState.PAID, reason="", payout_order=78)]))
    for who in (ALICE, BOB):
        found = await world.good(who, "GET", "/copytrade/rewards?format=objects")
        assert found["count"] == 1
        row = found["rows"][0]
        assert (row["period_from"], row["base_amount"], row["fee_amount"], row["state"]) == (1778159940, 25.12345679, 5.02, 2)
        assert (row["payout_order"], row["failure_reason"]) == (78, "")
    assert (await world.good(EVE, "GET", "/copytrade/rewards"))["count"] == 0


LISTED = (
    *("masters", "my", "subscriptions", "trade-links", "trade-links?format=objects", "rewards", "rewards?format=objects"),
    *("subscription/1/history", "master/stats?login=100001", "master/trades?login=100001", "master/followers?login=100001", "halts"),
)


def texts(value: Any) -> list[str]:
    """Every text in an answer."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list) else [value] * isinstance(value, str)


async def test_amounts_are_json_numbers_without_their_scale(world: World) -> None:
    """11100 is answered as 11100 and 0.5 as 0.5, wherever it comes from: not as "11100.00000000", not as 11100.0."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"risk_multiplier": 0.5})
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"daily_loss_percent": 12.5})
    charged = (Decimal("11100.00000000"), Decimal("2220.00"), "USD", AccrualState.PAID, NOW_MS, NOW_MS, MASTER_LOGIN, Decimal("2220.00"))
    row = AccrualRow(31, 1, MASTER_LOGIN, BOB_LOGIN, 3, 0, NOW_MS, *charged, "USD", 1, 1, 1, 1, 1, "", "profit_share/1", "{}")
    await world.told(flow.on_rewards, AccrualsChanged.of([row]))
    await world.told(flow.on_links, links(link(1, price=Decimal("11100.00000000"), sl=Decimal("11000.50000000"))))
    await world.told(flow.on_stats, StatsChanged.of([stats("30D", 30, pnl=Decimal("11100.00000000"))]))
    amounts = (Decimal("1.50000"), Decimal("1.60000"), Decimal("100.50"), Decimal("-1.00"), Decimal(0))
    told = ("TR_REASON_CLIENT", "", "", 1000, 2000)
    deal = ClosedRow(1, 2, MASTER_LOGIN, "GBPUSD", "buy", 40, 40, 0, *amounts, *told)
    await world.told(flow.on_trades, PositionsClosed.of([deal]))
    answers = {path: (await world.call(BOB, "GET", f"/copytrade/{path}")).text for path in LISTED}
    for path, answer in answers.items():
        assert [text for text in texts(json.loads(answer)) if re.fullmatch(r"-?\d+\.\d+", text)] == [], path
        assert not re.search(r"\d\.0+[,}\]]", answer), path
    for path in ("trade-links", "rewards", "masters"):
        assert re.search(r"[:,]11100[,}\]]", answers[path]), path
    assert ",11000.5," in answers["trade-links"]
    assert ",100.5," in answers["master/trades?login=100001"]
    assert [row["settings"]["risk_multiplier"] for row in json.loads(answers["subscription/1/history"])["rows"]] == [0.5, 0.5]
    assert json.loads(answers["subscription/1/history"])["rows"][1]["settings"]["daily_loss_percent"] == 12.5


async def test_doors_that_are_not_there(world: World) -> None:
    await refused(world, 404, "NOT_FOUND", ALICE, "GET", "/copytrade/nothing")
    await refused(world, 405, "METHOD_NOT_ALLOWED", ALICE, "PATCH", "/copytrade/master")
    await refused(world, 400, "INVALID_DATA", ALICE, "PUT", "/copytrade/master/abc", {"enabled": 1})
    await refused(world, 413, "BODY_TOO_LARGE", ALICE, "POST", "/copytrade/follower", {"login": "1" * 300_000})


async def test_docs_are_self_contained(world: World) -> None:
    page = (await world.http.get("/docs")).text
    assert "/copytrade/masters" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert (await world.http.get("/openapi.json")).json()["info"]["title"] == "Lockstep API"
