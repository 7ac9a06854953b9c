"""A client of the signed OpenAPI for tests, and an account that copies."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
from api import flow
from api.openapi import signing
from api.read_models import Symbol
from shared.contracts.rewards import SharingChanged, SharingRow
from shared.contracts.trades import ClosedRow, OpenedRow, PositionsOpened, PositionsReduced, SymbolRow, SymbolsChanged

from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER_LOGIN, SUBSCRIPTION, World

FOLLOWER = "/api/v2/copy-trading/follower"
LEADER = "/api/v2/copy-trading/leader"
SHARE = {"reward_type": 3, "fee_percent": 10, "netting": "weekly"}
LEAD_CONFIG: dict[str, Any] = {
    "unLeadType": 0,
    "leadPositionType": -1,
    "tradeProtect": 0,
    "profitPeriod": 7,
    "profitRate": "0.1",
    "followAssetLowerLimit": "100",
    "fixedAmountFollowMin": "10",
    "fixedRateFollowMin": "10",
    "isNeedInvite": 0,
    "inviteScope": 2,
    "symbolIds": ["BTC-SWAP-USDT", "ETH-SWAP-USDT"],
}
"""A leader's."""
FOLLOW_CONFIG: dict[str, Any] = {
    "leaderUserId": MASTER_LOGIN,
    "investAmount": "100",
    "singlePlaceAmount": "10",
    "dailyMaxInvestAmount": "0",
    "leverage": "0",
    "maxInvestRate": "1",
    "stopProfitRate": "0",
    "stopLossRate": "0",
    "realInvestAmount": "100",
    "followAmountMode": 0,
    "stopLossDelay": 0,
    "isolatedReservedAmount": "0",
    "followMarginType": 0,
    "followSymbolIds": "all",
    "zeroSlippageSwitch": False,
}
"""A follower's, of a fixed amount."""


class Client:
    """A client of the V2 that signs as the documents say."""

    def __init__(self, world: World, key: str, secret: str, base: str = FOLLOWER) -> None:
        self.world, self.key, self.secret, self.base = world, key, secret, base

    async def send(self, method: str, path: str, as_form: bool = False, timestamp: int | None = None, **parameters: Any) -> httpx.Response:
        query = urlencode({**parameters, "timestamp": self.world.now if timestamp is None else timestamp})
        query += f"&signature={signing.signature(self.secret, query)}"
        return await self.raw(method, path, "" if as_form else query, query if as_form else "")

    async def raw(self, method: str, path: str, query: str, form: str = "", **more: Any) -> httpx.Response:
        headers = {"X-BB-APIKEY": self.key, "Referrer": "CCXT"} | more.pop("headers", {})
        headers |= {"content-type": "application/x-www-form-urlencoded"} if form else {}
        url = self.base + path + (f"?{query}" if query else "")
        return await self.world.http.request(method, url, headers=headers, content=form or None, **more)

    async def put(self, path: str, body: Any) -> httpx.Response:
        """A JSON body beside a signed query, as the published example sends it; each write a moment later than the one before."""
        self.world.now += 1
        query = f"timestamp={self.world.now}"
        query += f"&signature={signing.signature(self.secret, query)}"
        headers = {"X-BB-APIKEY": self.key}
        return await self.world.http.put(f"{self.base}{path}?{query}", json=body, headers=headers)

    async def refused(self, path: str, body: Any) -> tuple[int, str]:
        """The code and the message of a refused PUT."""
        answer = (await self.put(path, body)).json()
        assert answer["data"] is None
        return answer["code"], answer["msg"]

    async def data(self, method: str, path: str, **parameters: Any) -> Any:
        answer = await self.send(method, path, **parameters)
        assert answer.json()["code"] == 200, answer.text
        assert (answer.status_code, answer.json()["msg"]) == (200, "success")
        return answer.json()["data"]

    async def code(self, method: str, path: str, **parameters: Any) -> int:
        found: int = (await self.send(method, path, **parameters)).json()["code"]
        return found


async def client_of(world: World, who: int = BOB, login: int = BOB_LOGIN, **settings: Any) -> Client:
    made = await world.good(who, "POST", "/copytrade/api-keys", {"login": login, **settings})
    return Client(world, made["key"], made["secret"])


async def following(world: World) -> Client:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    return await client_of(world)


async def trade(world: World) -> None:
    """Bob holds 30 units (0.3 BTC) long at 6800 after closing 10 at 7000 (net 19), under Alice's lead; bid 7100, ask 7110."""
    btc = SymbolRow(
        *("BTC-SWAP-USDT", 2, Decimal(1), "BTC", "USDT", 100, 1, 1, 100000, 0, Decimal(0), Decimal(0), Decimal(0)),
        *(Decimal(7100), Decimal(7110)),
    )
    zero = Decimal(0)
    opened = OpenedRow(
        *(5001, BOB_LOGIN, "BTC-SWAP-USDT", "buy", 40, Decimal(6800), Decimal(6460), Decimal(7480), "c-1-1001-open-0", "TR_REASON_COPY"),
        *(zero, zero, zero, zero, world.now),
    )
    await world.told(flow.on_trades, SymbolsChanged.of([btc]), PositionsOpened.of([opened]))
    await world.told(flow.on_trades, PositionsReduced.of([closing(world, 901, 10, 30, "20", "-1")]))
    await world.told(flow.on_links, links(link(1, volume=40, volume_now=30, symbol="BTC-SWAP-USDT")))
    await world.told(
        flow.on_rewards,
        SharingChanged.of([SharingRow(1, BOB_LOGIN, MASTER_LOGIN, "USD", Decimal("19"), Decimal("1.2"), Decimal("0.58"))]),
    )


def closing(world: World, deal: int, closed: int, left: int, profit: str, commission: str, price: int = 7000) -> ClosedRow:
    return ClosedRow(
        *(
            5001,
            deal,
            BOB_LOGIN,
            "BTC-SWAP-USDT",
            "buy",
            40,
            closed,
            left,
            Decimal(6800),
            Decimal(price),
            Decimal(profit),
            Decimal(commission),
        ),
        *(Decimal(0), "TR_REASON_COPY", f"c-1-1001-close-{deal}", "c-1-1001-open-0", world.now, world.now + deal),
    )


async def leading(world: World) -> tuple[Client, Client]:
    """Alice leads, for a tenth of profits, what Bob copies; BTC and ETH are traded. Her client and Bob's."""
    bob = await following(world)
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": SHARE})
    await trade(world)
    async with world.store.read() as session:
        btc = await session.get_one(Symbol, "BTC-SWAP-USDT")
    values = {name: getattr(btc, name, 0) for name in SymbolRow._fields} | {"symbol": "ETH-SWAP-USDT", "base_currency": "ETH"}
    await world.told(flow.on_trades, SymbolsChanged.of([SymbolRow(**values)]))
    alice = await client_of(world, ALICE, MASTER_LOGIN)
    alice.base = LEADER
    return alice, bob


async def opens(world: World, order: int = 1001, **more: Any) -> None:
    """Alice opens 50 units (0.5 BTC) long at 6800; the bid is 7100."""
    zero = Decimal(0)
    row = OpenedRow(
        *(order, MASTER_LOGIN, "BTC-SWAP-USDT", "buy", 50, Decimal(6800), zero, zero, "", "TR_REASON_CLIENT"),
        *(zero, zero, zero, zero, world.now),
    )
    await world.told(flow.on_trades, PositionsOpened.of([row._replace(**more)]))
