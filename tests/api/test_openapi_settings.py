"""The follower's settings by the signed OpenAPI: every rule of the document's config, and the stops of positions."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from api import flow
from api.openapi import signing
from api.read_models import Symbol
from api.store import LeadConfig
from shared.contracts.config import FollowConfig
from shared.contracts.links import LinkState
from shared.contracts.trades import SymbolRow, SymbolsChanged

from tests.api.signed import Client, client_of, following, trade
from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER_LOGIN, World, open_world

pytestmark = pytest.mark.anyio

PARAMETER = "Data sent for paramter '%s' is not valid."
MANDATORY = "Mandatory parameter '%s' was not sent, was empty/null, or malformed."
EXAMPLE: dict[str, Any] = {
    "leaderUserId": MASTER_LOGIN,
    "investAmount": "100",
    "singlePlaceAmount": "10",
    "dailyMaxInvestAmount": "50",
    "leverage": "20",
    "maxInvestRate": "0.5",
    "stopProfitRate": "0.1",
    "stopLossRate": "0.2",
    "realInvestAmount": "100",
    "followAmountMode": 1,
    "stopLossDelay": 30,
    "isolatedReservedAmount": "5",
    "followMarginType": 2,
    "followSymbolIds": "BTC-SWAP-USDT,ETH-SWAP-USDT",
    "zeroSlippageSwitch": True,
}
"""The document's."""
FIXED = EXAMPLE | {"followAmountMode": 0}


async def ready(world: World) -> Client:
    client = await following(world)
    await trade(world)
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed", symbol="BTC-SWAP-USDT")))
    async with world.store.read() as session:
        btc = await session.get_one(Symbol, "BTC-SWAP-USDT")
    values = {name: getattr(btc, name, 0) for name in SymbolRow._fields} | {"symbol": "ETH-SWAP-USDT", "base_currency": "ETH"}
    await world.told(flow.on_trades, SymbolsChanged.of([SymbolRow(**values)]))
    return client


async def test_the_examples_of_the_document(world: World) -> None:
    client = await ready(world)
    answer = await client.put("/config", EXAMPLE)
    assert (answer.status_code, answer.json()) == (200, {"code": 200, "msg": "success", "data": None})
    told = (await world.config_events())[-1]
    subscription = told["subscription"]
    assert (told["type"], told["copy_existing"]) == ("subscription.saved", False)
    kept = {name: subscription[name] for name in ("volume_mode", "symbols_mode", "symbols", "version")}
    assert kept == {"volume_mode": 5, "symbols_mode": 1, "symbols": "BTC-SWAP-USDT,ETH-SWAP-USDT", "version": 2}
    assert FollowConfig.model_validate(subscription["follow"]) == FollowConfig(
        invest_amount=100, single_place_amount=10, daily_max_invest_amount=50, leverage=20, max_invest_rate="0.5", stop_profit_rate="0.1",
        stop_loss_rate="0.2", real_invest_amount=100, stop_loss_delay=30, isolated_reserved_amount=5, follow_margin_type=2,
        zero_slippage=1, set_ms=world.now,
    )  # type: ignore[arg-type]  # fmt: skip
    shown = {name: value for name, value in EXAMPLE.items() if name != "realInvestAmount"} | {"leaderUserId": str(MASTER_LOGIN)}
    assert await client.data("GET", "/config", leaderUserId=MASTER_LOGIN) == shown
    assert (await world.rows("audit"))[-1]["actor"] == "API_KEY:1"


async def test_a_subscription_without_a_config_shows_what_it_does(world: World) -> None:
    client = await ready(world)
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"symbols_mode": 2, "symbols": "ETH-SWAP-USDT"})
    found = await client.data("GET", "/config", leaderUserId=MASTER_LOGIN)
    assert found["followSymbolIds"] == "BTC-SWAP-USDT"
    assert (found["leverage"], found["maxInvestRate"], found["investAmount"], found["zeroSlippageSwitch"]) == ("100", "1", "0", False)


@pytest.mark.parametrize(
    ("changed", "code", "about"),
    [
        *(({name: None}, -1102, name) for name in EXAMPLE),
        *(({name: ""}, -1102, name) for name in EXAMPLE),
        *(({name: "x"}, -1102, name) for name in EXAMPLE if name != "followSymbolIds"),
        *(({name: "-0.1"}, -1130, name) for name in EXAMPLE if "Amount" in name and name != "followAmountMode"),
        *(({name: "0.123456789"}, -1130, name) for name in ("investAmount", "leverage", "maxInvestRate", "stopLossRate")),
        ({"investAmount": "100.000000000000000000000000000000001"}, -1130, "investAmount"),
        ({"investAmount": True}, -1102, "investAmount"),
        ({"investAmount": "NaN"}, -1102, "investAmount"),
        *(({"investAmount": odd}, -1102, "investAmount") for odd in ("1_0", " 10 ", "\uff11\uff10", "Infinity")),
        ({"investAmount": "1e30"}, -1130, "investAmount"),
        ({"investAmount": "1e1000000"}, -1130, "investAmount"),
        ({"leaderUserId": 0}, -1130, "leaderUserId"),
        ({"maxInvestRate": "1.00000001"}, -1130, "maxInvestRate"),
        ({"leverage": "125.5"}, -1130, "leverage"),
        ({"stopProfitRate": "0.009"}, -1130, "stopProfitRate"),
        ({"stopLossRate": "0.00999999"}, -1130, "stopLossRate"),
        ({"followAmountMode": 2}, -1130, "followAmountMode"),
        ({"followMarginType": 3}, -1130, "followMarginType"),
        ({"stopLossDelay": -1}, -1130, "stopLossDelay"),
        ({"zeroSlippageSwitch": "yes"}, -1102, "zeroSlippageSwitch"),
        ({"followSymbolIds": " "}, -1130, "followSymbolIds"),
        ({"followSymbolIds": "BTC-SWAP-USDT,"}, -1130, "followSymbolIds"),
        ({"followSymbolIds": "all,BTC-SWAP-USDT"}, -1130, "followSymbolIds"),
        ({"followSymbolIds": "XRP-SWAP-USDT"}, -1130, "followSymbolIds"),
        # fixed amount: at least 5 an order, 10 invested, and really what is reserved and one order
        ({"followAmountMode": 0, "singlePlaceAmount": "4.99"}, -1130, "singlePlaceAmount"),
        ({"followAmountMode": 0, "realInvestAmount": "14.99"}, -1130, "realInvestAmount"),
        ({"followAmountMode": 0, "investAmount": "9.99"}, -1130, "investAmount"),
        # fixed rate: at least 10 invested, and really what is reserved and so much
        ({"investAmount": "9.99"}, -1130, "investAmount"),
        ({"realInvestAmount": "14.99"}, -1130, "realInvestAmount"),
        ({"dailyMaxInvestAmount": "4.99"}, -1130, "dailyMaxInvestAmount"),
        ({"leaderUserId": 77}, -32045, ""),
        ({"followAmountMode": 0, "singlePlaceAmount": 5, "realInvestAmount": 10, "investAmount": 10}, 200, ""),
        ({"singlePlaceAmount": 0, "realInvestAmount": 15, "investAmount": 10.5, "dailyMaxInvestAmount": 0}, 200, ""),
        ({"leaderUserId": str(MASTER_LOGIN), "leverage": 125, "stopProfitRate": 0, "stopLossRate": "0.01", "maxInvestRate": 0}, 200, ""),
        ({"followSymbolIds": "all", "zeroSlippageSwitch": False, "stopLossDelay": "0"}, 200, ""),
    ],
)
async def test_every_rule_of_the_config(rules_world: Client, changed: dict[str, Any], code: int, about: str) -> None:
    before = await rules_world.world.config_events()
    answer = (await rules_world.put("/config", EXAMPLE | changed)).json()
    text = {-1102: MANDATORY, -1130: PARAMETER}.get(code, "")
    assert answer["code"] == code, answer
    if text:
        assert answer["msg"] == text % about
        assert await rules_world.world.config_events() == before


@pytest.fixture(scope="module")
async def rules_world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with open_world(tmp_path_factory.mktemp("rules")) as opened:
        yield await ready(opened)


async def test_the_leaders_own_minimums_count_where_they_are_more(world: World) -> None:
    client = await ready(world)
    async with world.store.work() as work:
        work.session.add(LeadConfig(master_id=1, invest_min=90, place_min=10, rate_invest_min=95))  # type: ignore[arg-type]
    assert (await client.put("/config", EXAMPLE)).json()["code"] == 200
    for changed, about in (
        ({"realInvestAmount": "99.99"}, "realInvestAmount"),  # 5 reserved, 95 at least
        ({"followAmountMode": 0, "singlePlaceAmount": "9.99"}, "singlePlaceAmount"),
        ({"followAmountMode": 0, "investAmount": "89.99"}, "investAmount"),
        ({"dailyMaxInvestAmount": "9.99"}, "dailyMaxInvestAmount"),
    ):
        assert await client.refused("/config", EXAMPLE | changed) == (-1130, PARAMETER % about)


async def test_the_leverage_is_locked_while_copies_are_open(world: World) -> None:
    client = await ready(world)
    await world.told(flow.on_links, links(link(2)))  # opened with the account's, 100
    assert await client.refused("/config", FIXED) == (-1130, PARAMETER % "leverage")
    for same in ("100", "0"):
        assert (await client.put("/config", FIXED | {"leverage": same})).json()["code"] == 200
    await world.told(flow.on_links, links(link(2, LinkState.CLOSED, "closed")))
    assert (await client.put("/config", FIXED)).json()["code"] == 200
    await world.told(flow.on_links, links(link(2)))
    assert await client.refused("/config", FIXED | {"leverage": "21"}) == (-1130, PARAMETER % "leverage")
    assert (await client.put("/config", FIXED | {"singlePlaceAmount": 20})).json()["code"] == 200
    await world.told(flow.on_links, links(link(2, LinkState.CLOSED, "closed")))
    assert (await client.put("/config", FIXED | {"leverage": "21"})).json()["code"] == 200


async def test_settings_of_the_minimums(tmp_path_factory: pytest.TempPathFactory) -> None:
    least = {"openapi_place_min": 20, "openapi_invest_min": 200, "openapi_rate_invest_min": 300, "openapi_leverage_max": 10}
    async with open_world(tmp_path_factory.mktemp("least"), **least) as world:
        client = await ready(world)
        for changed, about in (
            ({}, "leverage"),
            ({"leverage": 10}, "investAmount"),
            ({"leverage": 10, "investAmount": 300}, "realInvestAmount"),
            ({"leverage": 10, "investAmount": 300, "realInvestAmount": 305, "dailyMaxInvestAmount": 19}, "dailyMaxInvestAmount"),
            ({"leverage": 10, "investAmount": 200, "followAmountMode": 0, "singlePlaceAmount": 19}, "singlePlaceAmount"),
        ):
            assert await client.refused("/config", EXAMPLE | changed) == (-1130, PARAMETER % about)


async def test_a_read_only_key_may_look_and_not_set(world: World) -> None:
    client = await ready(world)
    assert (await client.put("/config", EXAMPLE)).json()["code"] == 200
    read_only = await client_of(world, read_only=1)
    assert (await read_only.data("GET", "/config", leaderUserId=MASTER_LOGIN))["followAmountMode"] == 1
    for path in ("/config", "/positions/stop-profit-loss"):
        assert await read_only.refused(path, EXAMPLE) == (-1020, "This operation is not supported.")
    for bad in ("", "x", "0", "-1"):
        answer = (await client.send("GET", "/config", leaderUserId=bad)).json()
        assert (answer["code"], answer["msg"]) == (-1130, PARAMETER % "leaderUserId")
    assert await client.code("GET", "/config", leaderUserId=77) == -32045
    assert await (await client_of(world, ALICE, MASTER_LOGIN)).code("GET", "/config", leaderUserId=MASTER_LOGIN) == -32045


async def test_fields_are_taken_from_query_form_and_json_alike(world: World) -> None:
    """As ccxt sends a PUT (query), the agent kit (form), the published SDK (JSON); the query goes before the body."""
    client = await ready(world)
    flat = {name: str(value).lower() if isinstance(value, bool) else value for name, value in EXAMPLE.items()}
    for as_form, invested in ((False, 101), (True, 102)):
        world.now += 1
        assert await client.data("PUT", "/config", as_form=as_form, **flat | {"investAmount": invested}) is None
        assert (await client.data("GET", "/config", leaderUserId=MASTER_LOGIN))["investAmount"] == str(invested)
    world.now += 1
    query = urlencode({"investAmount": 103, "timestamp": world.now})
    query += f"&signature={signing.signature(client.secret, query)}"
    answer = await world.http.put(f"{client.base}/config?{query}", json=EXAMPLE, headers={"X-BB-APIKEY": client.key})
    assert answer.json()["code"] == 200
    assert (await client.data("GET", "/config", leaderUserId=MASTER_LOGIN))["investAmount"] == "103"
    for broken in (b"{", b'["a"]', b"{'a': 1}"):
        world.now += 1
        query = f"timestamp={world.now}"
        query += f"&signature={signing.signature(client.secret, query)}"
        headers = {"X-BB-APIKEY": client.key, "content-type": "application/json"}
        answer = await world.http.put(f"{client.base}/config?{query}", content=broken, headers=headers)
        assert (answer.json()["code"], answer.json()["msg"]) == (-1130, PARAMETER % "body")


# --- stops of positions


STOPS = {"leaderUserId": MASTER_LOGIN, "symbolId": "BTC-SWAP-USDT", "isLong": 1}


async def test_stops_of_a_position(world: World) -> None:
    client = await following(world)
    await trade(world)
    example = STOPS | {"stopProfitRate": "0.1", "stopLossRate": "0.2", "stopLossDelay": 30}
    assert (await client.put("/positions/stop-profit-loss", example)).json() == {"code": 200, "msg": "success", "data": None}
    told = (await world.config_events())[-1]
    assert told["type"] == "stops.saved"
    wanted = {"follower_login": BOB_LOGIN, "master_login": MASTER_LOGIN, "symbol": "BTC-SWAP-USDT", "is_long": 1}
    wanted |= {"stop_profit_rate": "0.1", "stop_loss_rate": "0.2", "stop_loss_delay": 30, "version": 1}
    assert told["stops"] | wanted == told["stops"]
    [held] = await client.data("GET", "/orders/current")
    assert (held["stopProfitRate"], held["stopLossRate"]) == ("0.1", "0.2")
    # What is left out stays; 0 takes a stop away.
    assert (await client.put("/positions/stop-profit-loss", STOPS | {"stopProfitRate": 0})).json()["code"] == 200
    told = (await world.config_events())[-1]["stops"]
    kept = [told[name] for name in ("stop_profit_rate", "stop_loss_rate", "stop_loss_delay", "version")]
    assert [Decimal(kept[0]), Decimal(kept[1]), *kept[2:]] == [0, Decimal("0.2"), 30, 2]
    assert [row["action"] for row in (await world.rows("audit"))[-2:]] == ["create", "update"]
    snapshot = len(await world.config_events())
    async with world.store.work() as work:
        await flow.snapshot(work)
    assert [event["type"] for event in (await world.config_events())[snapshot:]].count("stops.saved") == 1


@pytest.mark.parametrize(
    ("changed", "code", "about"),
    [
        *(({name: value}, -1102, name) for name in STOPS for value in (None, "")),
        ({"leaderUserId": "x"}, -1102, "leaderUserId"),
        ({"isLong": 2}, -1130, "isLong"),
        ({"isLong": 0}, -1130, "symbolId"),  # nothing is held in that direction
        ({"symbolId": "ETH-SWAP-USDT"}, -1130, "symbolId"),
        ({"stopProfitRate": "-0.1"}, -1130, "stopProfitRate"),
        ({"stopLossRate": "0.123456789"}, -1130, "stopLossRate"),
        ({"stopLossRate": "much"}, -1102, "stopLossRate"),
        ({"stopLossDelay": -1}, -1130, "stopLossDelay"),
        ({"stopLossDelay": "soon"}, -1102, "stopLossDelay"),
        ({"leaderUserId": 77}, -32045, ""),
    ],
)
async def test_bad_stops_are_refused(stops_world: Client, changed: dict[str, Any], code: int, about: str) -> None:
    text = {-1102: MANDATORY, -1130: PARAMETER}.get(code, "Copy trading follower not found.")
    found = await stops_world.refused("/positions/stop-profit-loss", STOPS | changed)
    assert found == (code, text % about if "%s" in text else text)


@pytest.fixture(scope="module")
async def stops_world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with open_world(tmp_path_factory.mktemp("stops")) as opened:
        client = await following(opened)
        await trade(opened)
        yield client


async def test_a_number_is_kept_in_its_shortest_form_however_it_is_written(world: World) -> None:
    """Told with all its places, `0e-300000` is 300 KB, in the store and in the stream; `0e-999999999` would end the process."""
    client = await following(world)
    await trade(world)
    stops = {"leaderUserId": MASTER_LOGIN, "symbolId": "BTC-SWAP-USDT", "isLong": 1, "stopProfitRate": "0e-300000"}
    assert (await client.put("/positions/stop-profit-loss", stops)).json()["code"] == 200
    assert (await world.config_events())[-1]["stops"]["stop_profit_rate"] == "0"
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed", symbol="BTC-SWAP-USDT")))
    sent = FIXED | {"followSymbolIds": "all", "stopLossRate": "0e-300000", "investAmount": "100.00000000000000000000"}
    assert (await client.put("/config", sent)).json()["code"] == 200
    follow = (await world.config_events())[-1]["subscription"]["follow"]
    assert (follow["stop_loss_rate"], follow["invest_amount"]) == ("0", "100")
    assert len((await world.rows("subscription"))[0]["follow"]) < 500


async def test_a_config_is_later_than_the_one_before_although_the_clock_went_back(world: World) -> None:
    """A stop of the whole copy that has acted is lifted by a later config alone."""
    client = await ready(world)
    times = []
    for back in (0, 3_600_000):
        world.now -= back
        assert (await client.put("/config", EXAMPLE)).json()["code"] == 200
        times.append((await world.config_events())[-1]["subscription"]["follow"]["set_ms"])
    assert times[0] < times[1]


async def test_stops_stay_although_the_venues_clock_is_ahead(world: World) -> None:
    """The venue says that the position was opened an hour from now: the stops are for it all the same, and setting one leaves the other."""
    client = await following(world)
    await trade(world)
    world.now -= 3_600_000
    held = {"leaderUserId": MASTER_LOGIN, "symbolId": "BTC-SWAP-USDT", "isLong": 1}
    for name in ("stopProfitRate", "stopLossRate"):
        assert (await client.put("/positions/stop-profit-loss", held | {name: "0.3"})).json()["code"] == 200
    told = (await world.config_events())[-1]["stops"]
    assert (Decimal(told["stop_profit_rate"]), Decimal(told["stop_loss_rate"])) == (Decimal("0.3"), Decimal("0.3"))
    shown = (await client.data("GET", "/orders/current"))[0]
    assert (shown["stopProfitRate"], shown["stopLossRate"]) == ("0.3", "0.3")
