"""The leader's settings by the signed OpenAPI: every rule, levels, and what is refused because it could have no effect."""

import json
from decimal import Decimal
from typing import Any

import pytest
from api import flow
from shared.contracts.links import LinkState

from tests.api.signed import FOLLOW_CONFIG, LEADER, SHARE, Client, client_of, following, leading, opens, trade
from tests.api.signed import LEAD_CONFIG as CONFIG
from tests.api.told import link, links, refused
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, MASTER, MASTER_LOGIN, World, open_world

pytestmark = pytest.mark.anyio

D = Decimal


async def test_the_leaders_settings(world: World) -> None:
    alice, bob = await leading(world)
    shown = await alice.data("GET", "/config")
    assert shown == {
        "unLeadType": 0,
        "unLeadStartTime": "0",
        "unLeadEndTime": "0",
        "leadPositionType": -1,
        "tradeProtect": 0,
        "profitPeriod": 7,
        "profitRate": "0.1",
        "followAssetLowerLimit": "10",
        "fixedAmountFollowMin": "5",
        "fixedRateFollowMin": "10",
        "isNeedInvite": 0,
        "inviteScope": 2,
        "symbolIds": ["BTC-SWAP-USDT", "ETH-SWAP-USDT"],
        "recommendShare": 0,
        "recommendShareRate": "0",
        "inviteCode": "",
    }
    example = CONFIG | {
        "unLeadType": 1,
        "unLeadStartTime": 1717200000000,
        "unLeadEndTime": 1717286400000,
        "leadPositionType": 0,
        "tradeProtect": 1,
        "profitRate": "0.2",
        "profitPeriod": 1,
        "isNeedInvite": 1,
        "recommendShare": 0,
        "recommendShareRate": "0",
        "inviteCode": "LEADER2026",
        "symbolIds": ["BTC-SWAP-USDT"],
    }
    assert (await alice.put("/config", example)).json() == {"code": 200, "msg": "success", "data": None}
    told = [event for event in await world.config_events() if event["type"] in {"master.saved", "policy.saved"}][-2:]
    master, policy = told[0]["master"], told[1]["policy"]
    kept = ("visibility", "show_trade_history", "lead_symbols", "lead_margin_type", "unlead_from_ms", "unlead_to_ms")
    assert [master[name] for name in kept] == ["private", 0, "BTC-SWAP-USDT", 0, 1717200000000, 1717286400000]
    assert (D(policy["fee_percent"]), policy["netting"], policy["reward_type"]) == (20, "daily", 3)
    times = {"unLeadStartTime": "1717200000000", "unLeadEndTime": "1717286400000"}
    assert await alice.data("GET", "/config") == example | times
    assert [one["isLead"] for one in await alice.data("GET", "/symbols")] == [1, 0]
    # The code admits to a private master; without it nobody is. Bob's config has to come up to the new minimums.
    await world.open_account(300001, EVE)
    await world.good(EVE, "POST", "/copytrade/follower", {"login": 300001})
    wanted = {"master_login": MASTER_LOGIN, "follower_login": 300001}
    for code, status in (("", 403), ("LEADER2025", 403), ("LEADER2026", 200)):
        made = await world.call(EVE, "POST", "/copytrade/subscription", wanted | {"invite_code": code})
        assert made.status_code == status
    for enabled in (0, 1):  # who was invited may pause and come back; Bob, who was not, may not
        assert (await world.good(EVE, "PUT", f"/copytrade/subscription/{made.json()['id']}", {"enabled": enabled}))["enabled"] == enabled
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"enabled": 0})
    await refused(world, 403, "MASTER_NOT_AVAILABLE", BOB, "PUT", "/copytrade/subscription/1", {"enabled": 1})
    assert (await bob.refused("/config", FOLLOW_CONFIG | {"investAmount": "99"}))[0] == -1130
    assert (await bob.put("/config", FOLLOW_CONFIG)).json()["code"] == 200


MANDATORY = tuple(CONFIG)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        *(({name: None}, -1102) for name in MANDATORY),
        ({"unLeadType": 2}, -1130),
        ({"profitPeriod": 2}, -1130),
        ({"leadPositionType": 2}, -1130),
        ({"symbolIds": []}, -1130),
        ({"symbolIds": ["XRP-SWAP-USDT"]}, -1130),
        ({"symbolIds": [1]}, -1102),
        ({"recommendShare": 1}, -1130),
        ({"recommendShare": 1, "recommendShareRate": "1.1"}, -1130),
        # nobody could be paid a share for bringing a follower: it is refused, not kept without effect
        ({"recommendShare": 1, "recommendShareRate": "0.2"}, -120072),
        ({"recommendShareRate": "0.2"}, -120072),
        ({"recommendShare": 0, "recommendShareRate": "0"}, 200),
        # a code is for everybody who has it, or it is refused; to a public leader neither code nor scope is anything
        ({"isNeedInvite": 1, "inviteScope": 1}, -1130),
        ({"isNeedInvite": 1, "inviteScope": 0}, -1130),
        ({"inviteScope": 3}, -1130),
        ({"inviteScope": 0}, 200),
        ({"unLeadType": 1}, -120078),
        ({"unLeadType": 1, "unLeadStartTime": 9, "unLeadEndTime": 8}, -120078),
        ({"profitRate": "0.31"}, -120072),
        ({"profitRate": "0"}, -120072),
        ({"profitRate": "1.1"}, -1130),
        ({"profitRate": "0.51", "isNeedInvite": 1}, -120072),
        ({"followAssetLowerLimit": "9.99"}, -120072),
        ({"fixedAmountFollowMin": "4.99"}, -120072),
        ({"fixedRateFollowMin": "9.99"}, -120072),
        ({"isNeedInvite": 1, "inviteCode": "short"}, -120512),
        ({"isNeedInvite": 1, "inviteCode": "ADMIN123"}, -120511),
        ({"isNeedInvite": 1, "inviteCode": "TAKEN123"}, -120510),
        ({"isNeedInvite": 0, "inviteCode": "short"}, 200),
        ({"symbolIds": "BTC-SWAP-USDT,ETH-SWAP-USDT"}, 200),
    ],
)
async def test_every_rule_of_the_leaders_settings(rules_world: Client, changed: dict[str, Any], code: int) -> None:
    assert (await rules_world.put("/config", CONFIG | changed)).json()["code"] == code


@pytest.fixture(scope="module")
async def rules_world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with open_world(tmp_path_factory.mktemp("leads")) as opened:
        alice, bob = await leading(opened)
        await opened.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN, "reward_policy": SHARE})
        bob.base = LEADER
        assert (await bob.put("/config", CONFIG | {"isNeedInvite": 1, "inviteCode": "TAKEN123"})).json()["code"] == 200
        yield alice


async def test_what_is_held_has_to_be_led(world: World) -> None:
    alice, _ = await leading(world)
    await opens(world, margin_type=1)
    assert await alice.refused("/config", CONFIG | {"symbolIds": ["ETH-SWAP-USDT"]}) == (-32090, "Trading pair change is not allowed.")
    position_type = (-32093, "Copy trading position type cannot be changed.")
    assert await alice.refused("/config", CONFIG | {"leadPositionType": 0}) == position_type
    assert (await alice.put("/config", CONFIG | {"leadPositionType": 1, "symbolIds": ["BTC-SWAP-USDT"]})).json()["code"] == 200


async def test_a_share_that_only_private_leaders_may_ask_for(world: World) -> None:
    alice, _ = await leading(world)
    assert (await alice.put("/config", CONFIG | {"isNeedInvite": 1, "profitRate": "0.4"})).json()["code"] == 200
    assert await alice.refused("/config", CONFIG | {"profitRate": "0.4"}) == (-120073, "Unable to switch invite setting.")


async def test_another_kind_of_reward_is_not_changed_here(world: World) -> None:
    """Alice's first policy is a performance fee of 20 %: it is shown, and stays."""
    await following(world)
    await trade(world)
    alice = await client_of(world, ALICE, MASTER_LOGIN)
    alice.base = LEADER
    only = CONFIG | {"symbolIds": ["BTC-SWAP-USDT"]}
    assert (await alice.data("GET", "/config"))["profitRate"] == "0.2"
    assert (await alice.refused("/config", only))[0] == -120072
    assert (await alice.put("/config", only | {"profitRate": "0.2"})).json()["code"] == 200


LEVELS = {
    "pilot": {
        "profit_rate_max": "0.12",
        "private_profit_rate_max": "0.2",
        "invest_min": "200",
        "place_min": "20",
        "rate_invest_min": "300",
    },
    "captain": {"profit_rate_max": "0.15"},
}
MNG = "SESSION_MANAGER"


async def test_a_level_bounds_what_a_leader_may_ask_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A pilot has to ask followers for 200, 20 and 300, and may ask for 12 % of profits, 20 % where followers come by invitation; a
    captain has the system's minimums, 10, 5 and 10, and 15 %."""
    folder = tmp_path_factory.mktemp("levels")
    async with open_world(folder, openapi_levels=LEVELS) as world:
        alice, bob = await leading(world)
        least = ("followAssetLowerLimit", "fixedAmountFollowMin", "fixedRateFollowMin")

        async def level(name: str) -> Any:
            return await world.call(MNG, "POST", "/manager/MngSetLeaderLevel", {"id": 1, "level": name})

        assert (await alice.put("/config", CONFIG | {"profitRate": "0.3"})).json()["code"] == 200
        assert (await level("pilot")).json() == {"id": 1, "login": MASTER_LOGIN, "level": "pilot"}
        assert (await alice.data("GET", "/config"))["profitRate"] == "0.3"  # what was asked for before stays
        assert [(await alice.data("GET", "/config"))[name] for name in least] == ["200", "20", "300"]
        pilots = CONFIG | dict(zip(least, ("200", "20", "300"), strict=True))
        for wrong in (*({name: "19.99"} for name in least), {"profitRate": "0.13"}, {"profitRate": "0.21", "isNeedInvite": 1}):
            assert (await alice.refused("/config", pilots | wrong))[0] == -120072, wrong
        assert (await alice.put("/config", pilots | {"profitRate": "0.2", "isNeedInvite": 1})).json()["code"] == 200
        assert (await alice.refused("/config", pilots | {"profitRate": "0.12"}))[0] == -120073  # 20 % is too much for everybody
        assert (await alice.put("/config", pilots | {"profitRate": "0.12", "isNeedInvite": 1})).json()["code"] == 200
        assert (await bob.refused("/config", FOLLOW_CONFIG | {"investAmount": "199", "singlePlaceAmount": "20"}))[0] == -1130
        assert (await level("captain")).status_code == 200
        assert (await alice.put("/config", CONFIG | {"profitRate": "0.15"})).json()["code"] == 200
        assert (await alice.refused("/config", CONFIG | {"profitRate": "0.16"}))[0] == -120072
        assert (await level("emperor")).json() == {"error": "INVALID_DATA", "message": "level is one of pilot, captain"}
        assert (await world.call(MNG, "POST", "/manager/MngSetLeaderLevel", {"id": 9, "level": ""})).status_code == 404
        table = await world.good(MNG, "POST", "/manager/MngGetLeadConfigsByFilter", {"where": [["level", "=", "captain"]]})
        assert [row[:3] for row in table["rows"]] == [[1, "captain", 100]]
        # The house has no such level any more: nobody can say what may be asked for, and followers have the system's minimums.
        world.settings.openapi_levels.pop("captain")
        assert await alice.refused("/config", CONFIG) == (-120067, "Copy trading level config not found.")
        assert [(await alice.data("GET", "/config"))[name] for name in least] == ["100", "10", "10"]
        assert (await level("")).status_code == 200
        assert (await alice.put("/config", CONFIG | {"profitRate": "0.3"})).json()["code"] == 200
        given = await world.rows("audit WHERE noun = 'lead_config' AND actor = 'SESSION_MANAGER:ops' ORDER BY id")
        levels = [[json.loads(row[side])["level"] for side in ("before", "after")] for row in given]
        assert levels == [["", "pilot"], ["pilot", "captain"], ["captain", ""]]


async def test_settings_of_the_shares_and_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    told = {"openapi_profit_rate_max": "0.05", "openapi_private_profit_rate_max": "0.2", "openapi_words_refused": ["leader"]}
    async with open_world(tmp_path_factory.mktemp("shares"), **told) as world:
        alice, _ = await leading(world)
        assert (await alice.refused("/config", CONFIG))[0] == -120072
        private = CONFIG | {"isNeedInvite": 1}
        assert (await alice.refused("/config", private | {"inviteCode": "MYLEADER1"}))[0] == -120511
        assert (await alice.put("/config", private | {"inviteCode": "ADMIN123"})).json()["code"] == 200


async def test_writes_have_a_limit_of_their_own_and_may_need_a_list_of_addresses(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with open_world(tmp_path_factory.mktemp("writes"), openapi_write_rate_limit="2/minute", openapi_require_ip_list=True) as world:
        bob = await following(world)
        answers = [await bob.put("/config", FOLLOW_CONFIG) for _ in range(3)]
        assert [answer.json()["code"] for answer in answers] == [-1023, -1023, -1015]
        assert (answers[2].status_code, int(answers[2].headers["Retry-After"]) > 0) == (429, True)
        assert await bob.code("GET", "/leaders") == 200
        listed = await client_of(world, ips="127.0.0.1")
        await trade(world)
        await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
        assert (await listed.put("/config", FOLLOW_CONFIG)).json()["code"] == 200
        odd = Client(world, "-" * 64, bob.secret)
        assert (await odd.send("GET", "/leaders")).json()["code"] == -2014


async def test_who_is_invited_may_see_what_it_would_cost(world: World) -> None:
    """The preview takes the same body as the subscription: the code that admits to the one admits to the other, a wrong one to neither."""
    alice, _ = await leading(world)
    assert (await alice.put("/config", CONFIG | {"isNeedInvite": 1, "inviteCode": "LEADER2026"})).json()["code"] == 200
    await world.open_account(300001, EVE)
    await world.good(EVE, "POST", "/copytrade/follower", {"login": 300001})
    wanted = {"master_login": MASTER_LOGIN, "follower_login": 300001}
    for path in ("/copytrade/subscription/preview", "/copytrade/subscription"):
        for code, status in (("", 403), ("LEADER2027", 403), ("LEADER2026", 200)):
            assert (await world.call(EVE, "POST", path, wanted | {"invite_code": code})).status_code == status, (path, code)


async def test_what_a_leader_asked_for_goes_with_it(world: World) -> None:
    """Its invitation code among it, which managers would see on in a list of leaders that are no more."""
    alice, _ = await leading(world)
    assert (await alice.put("/config", CONFIG | {"isNeedInvite": 1, "inviteCode": "LEADER2026"})).json()["code"] == 200
    await world.good(ALICE, "DELETE", "/copytrade/master/1?close_policy=detach")
    assert (await world.good("SESSION_MANAGER", "POST", "/manager/MngGetLeadConfigsByFilter"))["count"] == 0
    ended = [row for row in await world.rows("audit") if (row["noun"], row["action"]) == ("lead_config", "delete")]
    assert [("LEADER2026" in row["before"], row["after"]) for row in ended] == [(True, "")]


@pytest.mark.parametrize("policy", [{"netting": "none"}, {"netting": "monthly"}, {"netting": "weekly", "enabled": 0}])
async def test_settings_that_are_sent_back_as_they_were_change_nothing(world: World, policy: dict[str, Any]) -> None:
    """`profitPeriod` knows days and weeks alone: a profit share that is netted otherwise, or is not in force, stays what it was."""
    alice, _ = await leading(world)
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": SHARE | policy})
    [before] = await world.rows("reward_policy")
    shown = await alice.data("GET", "/config")
    shown |= {"symbolIds": ",".join(shown["symbolIds"])}
    assert (await alice.put("/config", shown)).json()["code"] == 200
    assert await world.rows("reward_policy") == [before]
    if "enabled" not in policy:
        assert (await alice.put("/config", shown | {"profitPeriod": 1})).json()["code"] == 200
        assert [row["netting"] for row in await world.rows("reward_policy")] == ["daily"]
