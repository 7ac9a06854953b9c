"""What the masters and their customers do, as the oracle says: each call is made again, under its own id, until it is answered."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from api.auth import CUSTOMER, Actor
from api.bodies import FollowerCreate, MasterCreate, SubscriptionCreate
from api.commands import followers, masters, subscriptions
from api.context import Asked

from tests.chaos import oracle
from tests.chaos.oracle import CLOSE, OPEN, REDUCE
from tests.sim.world import World, request_of

CUSTOMERS = {"M1": 11, "M2": 12, "A": 21, "B": 22, "C": 23, "E": 24, "P1": 11, "P2": 12}
Action = tuple[str, Callable[[], Awaitable[None]]]
"""Which service it asks, and how."""


class Workload:
    """The accounts and orders that came of it, and the calls that lead there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.logins: dict[str, int] = {}
        self.orders: dict[int, int] = {}
        """Trade number to the master's order."""

    def accounts(self) -> list[Action]:
        return [("gateway", lambda who=who: self._account(who)) for who in oracle.BALANCES]

    def people(self) -> list[Action]:
        """Masters and followers."""
        found: list[Action] = [("api", lambda who=who: self._master(who)) for who in oracle.PERCENT]
        return [*found, *(("api", lambda who=who: self._follower(who)) for who in oracle.RULES)]

    def subscribe(self, follower: str) -> list[Action]:
        copied = [master for master, those in oracle.FOLLOWERS_OF.items() if follower in those]
        return [("api", lambda master=master: self._subscribe(master, follower)) for master in copied]

    def subscribe_all(self, late: str | None) -> list[Action]:
        """All subscriptions but those of the one who comes later."""
        return [action for who in oracle.RULES if who != late for action in self.subscribe(who)]

    def prices(self, block: int, stage: int, numbers: range | None = None) -> list[Action]:
        """The prices of a stage: of what these trades are in, or of all."""
        wanted = oracle.SYMBOLS if numbers is None else sorted({oracle.trade(k).symbol for k in numbers})
        return [("gateway", lambda symbol=symbol: self._price(symbol, block, stage)) for symbol in wanted]

    def trade(self, k: int, stage: int) -> list[Action]:
        """What a master does with one trade in a stage."""
        one, found = oracle.trade(k), []
        if stage == OPEN:
            found.append(lambda: self._open(k))
        if stage == REDUCE and one.part:
            found.append(lambda: self._close(k, {"volume": one.part, "client_id": f"p-{k}"}))
        if (stage == OPEN and one.quick) or (stage == CLOSE and not one.quick):
            found.append(lambda: self._close(k, {"client_id": f"x-{k}"}))
        return [("gateway", action) for action in found]

    async def _account(self, who: str) -> None:
        body = {"customer_id": CUSTOMERS[who], "group": "real-usd", "balance": oracle.BALANCES[who], "leverage": 100}
        self.logins[who] = (await self._venue("open_account", body))["login"]

    async def _price(self, symbol: oracle.Symbol, block: int, stage: int) -> None:
        bid, ask = oracle.price(symbol, block, stage)
        await self._venue("price", {"bid": bid, "ask": ask}, symbol.name)

    async def _open(self, k: int) -> None:
        one = oracle.trade(k)
        body = {"login": self.logins[one.master], "symbol": one.symbol.name, "side": one.side, "volume": one.volume, "client_id": f"t-{k}"}
        self.orders[k] = (await self._venue("order", body))["order"]

    async def _close(self, k: int, body: dict[str, Any]) -> None:
        await self._venue("close", body, str(self.orders[k]))

    async def _venue(self, call: str, body: dict[str, Any], *path: str) -> Any:
        answer = await getattr(self.world.processes["gateway"].door, call)(request_of(body), *path)
        return json.loads(answer.body)

    async def _master(self, who: str) -> None:
        policy = {"reward_type": 3, "fee_percent": oracle.PERCENT[who], "payout_account_login": self.logins[oracle.PAYOUT[who]]}
        body = {"login": self.logins[who], "strategy_name": who, "visibility": "public", "reward_policy": policy}
        await self.api(CUSTOMERS[who], f"master-{who}", masters.create, MasterCreate.model_validate(body))

    async def _follower(self, who: str) -> None:
        body = FollowerCreate(login=self.logins[who], max_master_count=2)
        await self.api(CUSTOMERS[who], f"follower-{who}", followers.create, body)

    async def _subscribe(self, master: str, who: str) -> None:
        body = {"master_login": self.logins[master], "follower_login": self.logins[who]} | {
            name: _exact(value) for name, value in oracle.RULES[who].items()
        }
        await self.api(CUSTOMERS[who], f"subscription-{master}-{who}", subscriptions.create, SubscriptionCreate.model_validate(body))

    async def api(self, customer: int, key: str, command: Any, body: Any) -> Any:
        """A write at the api under an Idempotency-Key, as its doors make it."""
        asked = Asked(key, hashlib.sha256(repr(body).encode()).hexdigest())
        actor = Actor(CUSTOMER, str(customer), customer)
        return await self.world.processes["api"].door.write(actor, lambda change: command(change, body), asked)


def _exact(value: Any) -> Any:
    """A JSON number as the doors read it."""
    return Decimal(str(value)) if isinstance(value, float) else value
