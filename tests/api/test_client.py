"""The client REST door: specifications 1, 2 and 4, with their examples, ownership rules and error codes."""

import json
from decimal import Decimal
from typing import Any

import pytest
from api import flow
from shared.contracts.links import LinkState

from tests.api.told import link, links, refused
from tests.api.world import (
    ALICE,
    BOB,
    BOB_LOGIN,
    DEMO_LOGIN,
    FOLLOWER_LOGIN,
    MASTER,
    MASTER_LOGIN,
    NOW_MS,
    PERFORMANCE,
    SUBSCRIPTION,
    World,
)

pytestmark = pytest.mark.anyio


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
        {"reward_type": 0, "fee_amount": 50, "currency": "XXX"},
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


async def test_an_amount_has_eight_places_at_most_however_many_digits_are_written(world: World) -> None:
    """The digit that is too many stands beyond the 28 that a Decimal is rounded to: it was not seen, and the store refused it (500)."""
    await world.pair()
    headers = world.customer(BOB) | {"content-type": "application/json"}
    logins, most = f'"master_login": {MASTER_LOGIN}, "follower_login": {BOB_LOGIN}', "1.000000000000000000000000000000001"
    for path, body in (
        ("/copytrade/subscription", f'{{{logins}, "risk_multiplier": {most}}}'),
        ("/copytrade/positions/search", f'{{"where": [["price", ">", {most}]]}}'),
    ):
        answer = await world.http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_DATA"), answer.text
        assert (await world.http.post(path, content=body.replace(most, most[:-1] + "0"), headers=headers)).status_code == 200


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


async def test_an_e_mail_has_room_in_lower_case_too(world: World) -> None:
    """A capital I with a dot is two characters then, which Postgres refused (500)."""
    long = {"email": "\u0130" * 128 + "@example.com", "password": "correct horse"}
    await refused(world, 400, "INVALID_DATA", "SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", long)


async def test_a_customers_number_leaves_room_for_more(world: World) -> None:
    """After the largest number that a store has, it has none for anybody else: each new customer without one met a 503."""
    path, password = "/manager/MngCreateCustomer", "correct horse"
    largest = {"id": 2**63 - 1, "email": "largest@example.com", "password": password}
    await refused(world, 400, "INVALID_DATA", "SESSION_MANAGER", "POST", path, largest)
    await world.good("SESSION_MANAGER", "POST", path, largest | {"id": 10**18})
    next_one = await world.good("SESSION_MANAGER", "POST", path, {"email": "next@example.com", "password": password})
    assert next_one["id"] == 10**18 + 1


async def test_a_disabled_customer_is_out_at_once(world: World) -> None:
    await world.good("SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", {"id": ALICE, "email": "a@b.c", "password": "correct horse"})
    await world.good(ALICE, "GET", "/copytrade/my")
    await world.good("SESSION_MANAGER", "POST", "/manager/MngUpdateCustomer", {"id": ALICE, "enabled": 0})
    await refused(world, 401, "INVALID_CUSTOMER_SESSION", ALICE, "GET", "/copytrade/my")
    await refused(world, 403, "CUSTOMER_DISABLED", None, "POST", "/customer/auth/login", {"email": "a@b.c", "password": "correct horse"})


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


async def test_the_last_version_of_a_policy_holds_although_the_clock_went_back(world: World) -> None:
    await world.pair()
    for percent, ahead in ((30, 3_600_000), (20, 0)):
        world.now = NOW_MS + ahead
        await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": {"reward_type": 3, "fee_percent": percent}})
    told = [event["policy"] for event in await world.config_events() if event["type"] == "policy.saved"]
    assert [(policy["fee_percent"], policy["valid_from_ms"] - NOW_MS) for policy in told[1:]] == [("30", 3_600_000), ("20", 3_600_000)]


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
    """Its own end is told first: however the entries are cut, rewards never reads that a follower has left where the provider has."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await world.good(ALICE, "DELETE", "/copytrade/master/1")
    assert [event["type"] for event in await world.config_events()][-3:] == ["master.deleted", "subscription.deleted", "policy.deleted"]


async def test_copying_existing_positions_is_asked_for_by_the_change_that_says_so(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"copy_existing_positions": 1})
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"max_positions": 3})
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"copy_existing_positions": 1})
    asked = [event["copy_existing"] for event in await world.config_events() if event["type"] == "subscription.saved"]
    assert asked == [True, False, True]


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
