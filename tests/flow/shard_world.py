"""Executors as shards around one venue, and a course of trading that comes out of a seed: what one executor does, any number must do."""

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

from executor import queries, shards, store
from executor.settings import ExecutorSettings
from executor.timers import ring
from executor.wiring import WRITES, parts
from shared.contracts import config, orders, trades
from shared.service import Parts, Read
from shared.shards import Shard, streams
from shared.store.work import Store

from tests.flow.executor_world import MASTER, NOW, World, account, subscription, symbol

FOLLOWERS = range(2001, 2013)
SAME = ("id", "follower_order", "sent_ms", "protect_ms", "updated_ms")
"""Fields that may differ: ids that are drawn, order numbers that the venue hands out as they come, and moments."""


class Shards(World):
    """`of` executors; `of` may change between two starts."""

    def __init__(self, folder: Path, of: int) -> None:
        super().__init__(folder)
        self.of = of
        self.executors: list[tuple[Store, Parts]] = []

    async def start(self) -> None:
        self.api = await self.log_store("api", (config.TOPIC,))
        self.gateway = await self.log_store("gateway", (trades.TOPIC,))
        self.loop.join(self.api, {})
        self.loop.join(self.gateway, {orders.TOPIC: Read(orders.OrderEvent, self.venue.on_orders)}, {orders.TOPIC: self.of})
        for number in range(1, self.of + 1):
            part = Shard(number, self.of)
            own = await self.loop.open_store("executor", WRITES, part=part)
            made = parts(ExecutorSettings(shard=str(part)), own)
            self.executors.append((own, made))
            self.loop.join(own, made)

    async def stop(self) -> None:
        """All processes end; the venue remembers what it holds."""
        await self.loop.close()
        self.loop.members.clear()
        self.executors.clear()

    async def parts_tick(self) -> None:
        for own, made in self.executors:
            desk = made.reads[trades.TOPIC].handler.__self__.desk  # type: ignore[attr-defined]
            async with own.work() as work:
                await ring(desk, work)

    async def ground(self) -> None:
        """A master and twelve followers with settings that differ."""
        accounts = [account(MASTER), *(account(login, str(4000 + 1000 * (login % 7))) for login in FOLLOWERS)]
        await self.told(trades.SymbolsChanged.of([symbol("EURUSD"), symbol("GBPUSD")]), trades.AccountsOpened.of(accounts))
        await self.configured(
            config.MasterSaved(master=config.Master(id=1, login=MASTER, customer_id=1)),
            *(
                config.FollowerSaved(follower=config.Follower(id=login, login=login, customer_id=login, max_master_count=5))
                for login in FOLLOWERS
            ),
        )
        await self.configured(
            *(
                config.SubscriptionSaved(subscription=subscription(number, login, **settings(login)))
                for number, login in enumerate(FOLLOWERS, 1)
            )
        )

    async def course(self, draw: random.Random, steps: int, first_order: int) -> None:
        """So many things happen: opens, parts closed, stops moved, closes by either side, pauses, halts, questions to the venue."""
        live: dict[int, list[int]] = {}
        versions: dict[int, int] = {}
        for step in range(steps):
            self.now += draw.randint(1, 3000)
            order = draw.choice(sorted(live)) if live else 0
            match draw.randint(0, 9):
                case 0 | 1 | 2:
                    order, volume = first_order + step, draw.choice((1, 7, 100, 333))
                    live[order] = [volume, volume]
                    await self.open(
                        order, volume, equity=Decimal(draw.randint(3000, 20000)), balance=Decimal(9000), side=draw.choice(("buy", "sell"))
                    )
                case 3 | 4 if order and live[order][1] > 1:
                    closed = draw.randint(1, live[order][1] - 1)
                    live[order][1] -= closed
                    await self.reduce(order, closed, live[order][1], live[order][0])
                case 5 if order:
                    versions[order] = versions.get(order, 0) + 1
                    await self.move_stops(order, f"1.0{draw.randint(1, 9)}", f"1.2{draw.randint(1, 9)}", versions[order])
                case 6 if order:
                    initial, left = live.pop(order)
                    await self.reduce(order, left, 0, initial)
                case 7:
                    await self._follower_closes(draw)
                case 8:
                    await self._settings_change(draw)
                case _:
                    await self.tick(61_000)

    async def _follower_closes(self, draw: random.Random) -> None:
        """A follower closes one of its copies; which one does not depend on the order in which the venue opened them."""
        held = sorted((p["client_id"], order) for order, p in self.venue.positions.items() if p["client_id"] and p["volume"])
        if held:
            order = draw.choice(held)[1]
            await self.told(self.venue.closing(order, self.venue.positions[order]["volume"], trades.REASON_CLIENT))

    async def _settings_change(self, draw: random.Random) -> None:
        number = draw.randint(1, len(FOLLOWERS))
        login = FOLLOWERS[number - 1]
        self.versions[number] = self.versions.get(number, 0) + 1
        status = draw.choice(list(config.SubscriptionStatus))
        changed = subscription(number, login, version=self.versions[number], status=status, **settings(login))
        await self.configured(config.SubscriptionSaved(subscription=changed))

    async def table(self) -> list[tuple[Any, ...]]:
        """All links, without what may differ."""
        names = [name for name in store.columns_of(store.Link) if name not in SAME]
        return sorted(tuple(row[name] for name in names) for row in await self.rows())

    async def ids(self) -> list[int]:
        """The ids of all links."""
        return [row["id"] for row in await self.rows()]

    async def rows(self, number: int = 0) -> list[dict[str, Any]]:
        """All links of a shard, or of all of them (0), also those that are stored in a fan-out's row."""
        names = store.columns_of(store.Link)
        found = []
        for own, _ in self.executors[number - 1 : number] if number else self.executors:
            async with own.read() as session:
                found += [dict(zip(names, row, strict=True)) for row in await queries.links_of(session)]
                async for _, some in shards.folded(session):
                    found += some
        return found

    def held_volumes(self) -> dict[str, int]:
        """What each copy holds on the venue, by client order id."""
        return {p["client_id"]: p["volume"] for p in self.venue.positions.values() if p["client_id"]}


def settings(login: int) -> dict[str, Any]:
    """A follower's settings: all sizing modes, some filters, limits and reversals among the twelve."""
    return {
        "volume_mode": config.VolumeMode(login % 4),
        "fixed_volume": 10 + login % 3,
        "risk_multiplier": Decimal(login % 5 + 1) / 4,
        "max_positions": 3 if login % 6 == 0 else 0,
        "reverse_direction": int(login % 5 == 0),
        "min_volume": 5 if login % 4 == 1 else 0,
    }


def used(shards: int) -> list[str]:
    """The streams of copy orders of so many shards."""
    return streams(orders.TOPIC, shards)


START = NOW
