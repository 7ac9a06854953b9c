"""The signed OpenAPI V2 (specification 5): signing vectors, the order of the checks, replays, and the follower's endpoints."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from api import flow
from api.openapi import signing
from api.openapi.marks import Held, Quote, rate_between, text, worth
from api.read_models import Symbol
from api.settings import Settings
from api.store import ApiKey
from api.tables import table_of
from hypothesis import given
from hypothesis import strategies as st
from shared.contracts.links import LinkState
from shared.contracts.trades import PositionsClosed
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.api.signed import FOLLOWER, Client, client_of, closing, following, trade
from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER, MASTER_LOGIN, World, open_world

pytestmark = pytest.mark.anyio

SECRET = "30lfjDT51iOG1kYZnDoLNynOyMdIcmQyO1XYfxzYOmQfx9tjiI98Pzio4uhZ0Uk2"


@pytest.mark.parametrize(
    ("query", "body", "signed"),
    [
        (
            "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=400&recvWindow=100000&timestamp=1668481902307",
            "",
            "8420e499e71cce4a00946db16543198b6bcae01791bdb75a06b5a7098b156468",
        ),
        (
            "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC",
            "quantity=1&price=400&recvWindow=10000000&timestamp=1668481902307",
            "59ef0b2085ebb99cca5b6445c202d99add17be2d5d1861c0f4aa17bc785ac4d5",
        ),
        ("recvWindow=5000&timestamp=1717200000000", "", "e02e1a0c8de99db2ead6c144d587c54eb40feac513bdd0e5836a2e0a9fc2dec7"),
    ],
)
def test_signing_vectors(query: str, body: str, signed: str) -> None:
    [payload] = signing.payloads(query + f"&signature={signed}", body, is_form=True, body_must_be_signed=False)
    assert signing.signature(SECRET, payload) == signed
    assert signing.is_signed(SECRET, signed.upper(), [payload])


@pytest.mark.parametrize(
    ("timestamp", "window", "counts"),
    [(6000, 5000, True), (6999, 5000, True), (7000, 5000, False), (1000, 5000, True), (999, 5000, False), (1000, 4999, False)],
)
def test_s4_timestamp_edges(timestamp: int, window: int, counts: bool) -> None:
    """Server time 6000: in the future by less than 1000 ms, in the past by the window at most."""
    assert signing.in_window(timestamp, window, 6000) == counts


@given(place=st.integers(0, 300), letter=st.sampled_from("a0Z&=%"))
def test_s5_a_changed_byte_is_not_signed(place: int, letter: str) -> None:
    query, body = "leaderUserId=123456789&recvWindow=5000&timestamp=1717200000000", '{"leaderUserId": 123456789, "isLong": 1}'
    signed = signing.signature(SECRET, query + body)
    whole = query + body
    place %= len(whole)
    if whole[place] == letter:
        return
    changed = whole[:place] + letter + whole[place + 1 :]
    payloads = signing.payloads(changed[: len(query)], changed[len(query) :], is_form=False, body_must_be_signed=True)
    assert not signing.is_signed(SECRET, signed, payloads)


def test_worth_of_a_copy() -> None:
    """Long 0.5 at 6800, bid 7100, leverage 20, equity 1000: margin 0.5 * 6800 / 20 = 170, profit 0.5 * 300 = 150, rate 150 / 170 = 0.8824,
    and 1000 are used up at 7100 - 1000 / 0.5 = 5100. Short at ask 7110: profit -155, used up at 7110 + 2000 = 9110."""
    quote = Quote(Decimal(7100), Decimal(7110), "BTC", "USDT")
    long = worth(Held(True, Decimal("0.5"), Decimal(6800), 20), quote, Decimal(1), Decimal(1000))
    assert tuple(long) == (Decimal(7100), Decimal(170), Decimal(150), Decimal("0.8824"), Decimal(5100))
    short = worth(Held(False, Decimal("0.5"), Decimal(6800), 20), quote, Decimal(1), Decimal(1000))
    assert (short.profit, short.liquidation_price) == (Decimal(-155), Decimal(9110))
    assert worth(Held(True, Decimal("0.1"), Decimal(6800), 20), quote, Decimal(1), Decimal(1000)).liquidation_price is None
    assert rate_between({"USDJPY": Quote(Decimal(100), Decimal(100), "USD", "JPY")}, "JPY", "USD") == Decimal("0.01")
    assert rate_between({}, "JPY", "USD") is None
    assert [text(Decimal("3.3854000")), text(Decimal(20)), text(Decimal("-0.030")), text(None)] == ["3.3854", "20", "-0.03", ""]


async def test_the_order_of_the_checks(world: World) -> None:
    client = await following(world)
    stranger = Client(world, "f" * 64, client.secret)
    assert (await Client(world, "short", "x").send("GET", "/leaders")).json()["code"] == -1107
    assert (await client.raw("GET", "/leaders", "")).json()["code"] == -1103
    assert (await client.raw("GET", "/leaders", "timestamp=1")).json() == {
        "code": -1102,
        "msg": "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.",
        "data": None,
    }
    assert (await client.raw("GET", "/leaders", "signature=00")).json()["msg"].startswith("Mandatory parameter 'timestamp'")
    assert await stranger.code("GET", "/leaders", timestamp=world.now - 5001) == -1021  # the window is looked at before the key
    assert await stranger.code("GET", "/leaders") == -2015
    wrong = await Client(world, client.key, "not the secret").send("GET", "/leaders")
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["msg"]) == (401, -1022, "Signature for this request is not valid.")
    assert await client.code("GET", "/leaders", timestamp=world.now + 999) == 200
    assert await client.code("GET", "/leaders", timestamp=world.now + 1000) == -1021
    assert await client.code("GET", "/leaders", timestamp=world.now - 60_000, recvWindow=10_000_000) == 200
    assert await client.code("GET", "/leaders", timestamp=world.now - 60_001, recvWindow=10_000_000) == -1021
    assert await client.code("GET", "/leaders", recvWindow="x") == -1130
    without_header = await client.send("GET", "/leaders", accessKey=client.key)
    assert without_header.json()["code"] == 200


async def test_keys_that_may_not(world: World) -> None:
    await following(world)
    for settings, code in (
        ({"ips": "10.0.0.0/8"}, -2015),
        ({"expires_time": world.now // 1000}, -2017),
        ({"ips": "127.0.0.1"}, 200),
        ({"expires_time": world.now // 1000 + 1}, 200),
    ):
        assert await (await client_of(world, **settings)).code("GET", "/leaders") == code
    disabled = await client_of(world)
    number = (await world.rows("api_key"))[-1]["id"]
    await world.good(BOB, "PUT", f"/copytrade/api-keys/{number}", {"enabled": 0})
    assert await disabled.code("GET", "/leaders") == -2018
    read_only = await client_of(world, read_only=1)
    assert await read_only.code("GET", "/leaders") == 200
    refused = await read_only.send("DELETE", f"/leaders/{MASTER_LOGIN}")
    assert (refused.status_code, refused.json()["msg"]) == (403, "This operation is not supported.")
    # Alice follows nobody; her key is for her own account alone.
    assert await (await client_of(world, ALICE, MASTER_LOGIN)).code("GET", "/leaders") == -32045


async def test_s3_a_request_sent_again(world: World) -> None:
    client = await following(world)
    strict = await client_of(world, require_nonce=1)
    assert await strict.code("GET", "/leaders") == -1102
    query = urlencode({"nonce": "n1", "timestamp": world.now})
    query += f"&signature={signing.signature(strict.secret, query)}"
    assert [(await strict.raw("GET", "/leaders", query)).json()["code"] for _ in range(3)] == [200, -1022, -1022]
    assert await strict.code("GET", "/leaders", nonce="n1", recvWindow=4000) == -1022  # the nonce, not the signature
    assert await strict.code("GET", "/leaders", nonce="n2") == 200
    # A write counts once without a nonce, too, however its signature is spelled.
    await world.told(flow.on_links, links(link(1)))
    signed = signing.signature(client.secret, f"timestamp={world.now}")
    codes = [
        (await client.raw("DELETE", f"/leaders/{MASTER_LOGIN}", f"timestamp={world.now}&signature={one}")).json()["code"]
        for one in (signed, signed, signed.upper())
    ]
    assert codes == [-120055, -1022, -1022]
    world.now += 6000
    assert (await client.raw("DELETE", f"/leaders/{MASTER_LOGIN}", f"timestamp={world.now - 6000}&signature={signed}")).json()[
        "code"
    ] == -1021


async def test_current_orders(world: World) -> None:
    client = await following(world)
    assert await client.data("GET", "/orders/current") == []
    await trade(world)
    # margin 0.3 * 6800 / 100 = 20.4; profit 0.3 * 300 = 90; rate 90 / 20.4 = 4.4118; TP (7480 - 6800) / 6800 = 0.1, SL 0.05;
    # 10000 of equity could not be lost by 0.3 BTC at 7100: no liquidation price.
    assert await client.data("GET", "/orders/current") == [
        {
            "leaderUserId": str(MASTER_LOGIN),
            "leaderNickname": "Conservative FX",
            "leaderAvatar": "",
            "symbolId": "BTC-SWAP-USDT",
            "isLong": 1,
            "positionType": 0,
            "leverage": "100",
            "openAvgPrice": "6800",
            "markPrice": "7100",
            "currentPrice": "7100",
            "quantity": "0.3",
            "margin": "20.4",
            "liquidationPrice": "",
            "unrealizedProfit": "90",
            "unrealizedProfitRate": "4.4118",
            "stopProfitRate": "0.1",
            "stopLossRate": "0.05",
        }
    ]


async def test_history(world: World) -> None:
    client = await following(world)
    assert await client.data("GET", "/orders/history") == {"pages": "0", "total": "0", "list": []}
    await trade(world)
    await world.told(flow.on_trades, PositionsClosed.of([closing(world, 902, 30, 0, "90", "-3", price=7100)]))
    # average (7000 * 10 + 7100 * 30) / 40 = 7075; realised 20 - 1 + 90 - 3 = 106
    assert await client.data("GET", "/orders/history", page=1, size=10) == {
        "pages": "1",
        "total": "1",
        "list": [
            {
                "symbolId": "BTC-SWAP-USDT",
                "positionType": 0,
                "leverage": "100",
                "isLong": 1,
                "leaderNickname": "Conservative FX",
                "leaderAvatar": "",
                "openTimeMs": str(world.now),
                "lastCloseTimeMs": str(world.now + 902),
                "openAvgPrice": "6800",
                "closeAvgPrice": "7075",
                "maxPositionQuantity": "0.4",
                "closedQuantity": "0.4",
                "realizedProfit": "106",
                "closeStatus": 2,
            }
        ],
    }
    assert (await client.data("GET", "/orders/history", page=2, size=1))["list"] == []
    for bad in ({"size": 101}, {"size": 0}, {"page": 0}, {"page": "x"}):
        assert await client.code("GET", "/orders/history", **bad) == -1130


async def test_leaders(world: World) -> None:
    client = await following(world)
    await trade(world)
    # balance 10000 + 90 unrealised; margin 20.4 bound; 19 - 1.2 - 0.58 = 17.22
    assert await client.data("GET", "/leaders") == [
        {
            "leaderUserId": str(MASTER_LOGIN),
            "leaderNickname": "Conservative FX",
            "leaderAvatar": "",
            "marginBalance": "10090",
            "availableMargin": "10069.6",
            "unrealisedPnl": "90",
            "realisedProfit": "19",
            "holdingProfitSharing": "1.2",
            "settledProfitSharing": "0.58",
            "netProfit": "17.22",
        }
    ]


async def test_cancel_leader_as_clients_send_it(world: World) -> None:
    client = await following(world)
    for bad in ("0", "-1", "abc", "9" * 30):
        assert await client.code("DELETE", f"/leaders/{bad}") == -1130
        world.now += 1
    assert await client.code("DELETE", "/leaders/12345") == -32045
    await world.told(flow.on_links, links(link(1)))
    held = await client.send("DELETE", f"/leaders/{MASTER_LOGIN}", recvWindow=5001)
    assert held.json()["msg"] == "The follower currently has copy position, cannot be removed."
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
    # ccxt sends everything in a form body, on DELETE, too.
    assert await client.data("DELETE", f"/leaders/{MASTER_LOGIN}", as_form=True, leaderUserId=MASTER_LOGIN) is None
    assert (await world.config_events())[-1]["type"] == "subscription.deleted"
    audit = (await world.rows("audit"))[-1]
    assert (audit["actor"], audit["action"], audit["noun"]) == ("API_KEY:1", "delete", "subscription")
    assert await client.code("GET", "/leaders") == -32045


async def test_a_json_body_may_have_to_be_signed(tmp_path_factory: pytest.TempPathFactory) -> None:
    body = '{"leaderUserId": 1}'
    for must, code_unsigned in ((False, -32045), (True, -1022)):
        async with open_world(tmp_path_factory.mktemp("signed"), openapi_require_signed_body=must) as opened:
            client = await following(opened)
            for signed_body, code in (("", code_unsigned), (body, -32045)):
                query = f"timestamp={opened.now}&recvWindow={5000 + len(signed_body)}"
                query += f"&signature={signing.signature(client.secret, query + signed_body)}"
                headers = {"content-type": "application/json", "X-BB-APIKEY": client.key}
                answer = await opened.http.request("DELETE", f"{FOLLOWER}/leaders/1?{query}", content=body, headers=headers)
                assert answer.json()["code"] == code
    assert Settings().openapi_require_signed_body is False


async def test_other_peoples_positions_stay_theirs(world: World) -> None:
    await following(world)
    await trade(world)
    await world.good(ALICE, "POST", "/copytrade/follower", {"login": MASTER_LOGIN})
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN})
    alices = await client_of(world, ALICE, MASTER_LOGIN)
    assert await alices.code("GET", "/orders/current") == -32045
    world.now += 1
    assert await alices.code("DELETE", f"/leaders/{MASTER_LOGIN}") == -32045


async def test_rate_limit(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with open_world(tmp_path_factory.mktemp("limit"), rate_limit="4/minute") as world:
        client = await following(world)
        answers = [await client.send("GET", "/leaders") for _ in range(6)]
        assert [answer.json()["code"] for answer in answers] == [200] * 4 + [-1003] * 2
        assert answers[-1].status_code == 429


async def test_codes_that_need_a_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await following(world)
    async with world.store.work() as work:
        await work.session.execute(update(table_of(ApiKey)).values(account_type="SPOT"))
    assert await client.code("GET", "/leaders") == -1005
    read_only = await client_of(world, read_only=1)
    assert await read_only.code("DELETE", f"/leaders/{MASTER_LOGIN}") == -1020

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("api.store.subscriptions_of", broken)
    with capture_logs():
        answer = await read_only.send("GET", "/leaders")
    assert (answer.status_code, answer.json()["code"]) == (500, -1000)
    assert "secret" not in answer.text


async def test_the_keys_of_a_disabled_customer_are_suspended(world: World) -> None:
    """Who may not log in does not go on by a key that was made before, nor by one of an account that a manager has made one for."""
    client = await following(world)
    customer = {"id": BOB, "email": "bob@example.com", "password": "correct horse"}
    await world.good("SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", customer)
    for enabled, code in ((0, -2018), (1, 200)):
        await world.good("SESSION_MANAGER", "POST", "/manager/MngUpdateCustomer", {"id": BOB, "enabled": enabled})
        assert await client.code("GET", "/leaders") == code


async def test_without_a_price_nothing_is_lost(world: World) -> None:
    """A symbol whose last change had no price, in an api that has just started: what the copy is worth is not known, and not nothing."""
    client = await following(world)
    await trade(world)
    async with world.store.work() as work:
        await work.session.execute(update(table_of(Symbol)).values(bid=0, ask=0))
    [held] = await client.data("GET", "/orders/current")
    shown = [held[name] for name in ("markPrice", "margin", "unrealizedProfit", "unrealizedProfitRate", "liquidationPrice")]
    assert shown == ["", "20.4", "", "", ""]
    assert (await client.data("GET", "/leaders"))[0]["unrealisedPnl"] == "0"
