"""What the executor remembers of follow configs: the margin that copies bind, the stops of whole copies, the stops of single ones."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from executor import links
from executor.columns import Columns, S
from executor.records import POSITION, LinkRecord
from executor.store import CopyStop, OwnStop, Stake, read_rows, table, write_rows

DAY_MS = 86_400_000
Key = tuple[int, int]
"""Subscription and master order."""


@dataclass(slots=True)
class StakeFacts:
    """See `store.Stake`."""

    subscription: int
    master_order: int
    follower_login: int
    margin: int
    bound: int
    leverage: int
    opened_ms: int
    ended_ms: int = 0


@dataclass(slots=True)
class CopyStopFacts:
    """See `store.CopyStop`."""

    subscription: int
    master_login: int
    follower_login: int
    profit: int
    loss: int
    delay_ms: int
    set_ms: int
    realised: int = 0
    beyond_ms: int = 0
    stopped_ms: int = 0
    reason: str = ""


@dataclass(slots=True)
class OwnStopFacts:
    """See `store.OwnStop`."""

    subscription: int
    master_order: int
    follower_login: int
    version: int
    profit: int
    loss: int
    delay_ms: int
    beyond_ms: int = 0


@dataclass
class Follows:
    """All of it in memory: stakes that are open or of today, and stops. What changed is written with everything else."""

    stakes: dict[int, dict[int, StakeFacts]] = field(default_factory=dict)
    """By subscription, then by master order."""
    copy_stops: dict[int, CopyStopFacts] = field(default_factory=dict)
    own_stops: dict[Key, OwnStopFacts] = field(default_factory=dict)
    day: int = 0
    """The day (since 1970, UTC) whose stakes the columns count as spent."""
    _stakes: dict[Key, StakeFacts] = field(default_factory=dict)
    _copy_stops: dict[int, CopyStopFacts] = field(default_factory=dict)
    _own_stops: dict[Key, OwnStopFacts] = field(default_factory=dict)
    _gone: list[tuple[type[CopyStop] | type[OwnStop], Key]] = field(default_factory=list)

    async def load(self, session: AsyncSession, now: int) -> None:
        own = table(Stake)
        self.day = now // DAY_MS
        for row in await read_rows(session, Stake, (own.c.ended_ms == 0) | (own.c.ended_ms >= self.day * DAY_MS)):
            stake = StakeFacts(*row)
            self.stakes.setdefault(stake.subscription, {})[stake.master_order] = stake
        self.copy_stops = {row[0]: CopyStopFacts(*row) for row in await read_rows(session, CopyStop)}
        self.own_stops = {(row[0], row[1]): OwnStopFacts(*row) for row in await read_rows(session, OwnStop)}

    async def write(self, session: AsyncSession) -> None:
        """Writes what has changed."""
        stakes, copies, owns, gone = self._stakes, self._copy_stops, self._own_stops, self._gone
        self._stakes, self._copy_stops, self._own_stops, self._gone = {}, {}, {}, []
        await write_rows(session, Stake, [astuple(stake) for stake in stakes.values()], replace=True)
        for model, key in gone:
            columns = list(table(model).primary_key.columns)
            await session.execute(delete(table(model)).where(*(column == value for column, value in zip(columns, key, strict=False))))
        await write_rows(session, CopyStop, [astuple(stop) for stop in copies.values()], replace=True)
        await write_rows(session, OwnStop, [astuple(stop) for stop in owns.values()], replace=True)

    # --- stakes

    def stake(self, subscription: int, master_order: int) -> StakeFacts | None:
        return self.stakes.get(subscription, {}).get(master_order)

    def open_stakes(self, subscription: int) -> list[StakeFacts]:
        """Of the copies that are active."""
        return [stake for stake in self.stakes.get(subscription, {}).values() if not stake.ended_ms]

    def sums(self, subscription: int) -> tuple[int, int]:
        """What a subscription's copies bind now, and what those of today were opened with."""
        stakes = self.stakes.get(subscription)
        if not stakes:
            return 0, 0
        spent = (stake.margin for stake in stakes.values() if stake.opened_ms // DAY_MS == self.day)
        return sum(stake.bound for stake in stakes.values()), sum(spent)

    def take(self, stake: StakeFacts) -> None:
        """A copy is on its way."""
        self.stakes.setdefault(stake.subscription, {})[stake.master_order] = stake
        self._stakes[stake.subscription, stake.master_order] = stake

    def matched(self, link: LinkRecord, now: int) -> bool:
        """Brings the stake of a changed link to what the copy is now; whether that changed anything."""
        stake = self.stake(link.subscription, link.master_order)
        if stake is None:
            return False
        before = (stake.margin, stake.bound, stake.ended_ms)
        if link.phase in {links.REJECTED, links.CANCELLED}:
            stake.margin = stake.bound = 0
        elif not link.active:
            stake.bound = 0
        elif link.follower_order and link.kind == POSITION and link.volume:
            stake.bound = -(-stake.margin * link.volume_now // link.volume)
        stake.ended_ms = 0 if link.active else stake.ended_ms or now
        if before == (stake.margin, stake.bound, stake.ended_ms):
            return False
        self._stakes[link.subscription, link.master_order] = stake
        return True

    def new_day(self, now: int, columns: dict[int, Columns]) -> None:
        """With a new day (UTC), nothing is spent; yesterday's stakes that have ended are forgotten."""
        day = now // DAY_MS
        if day == self.day:
            return
        self.day = day
        for subscription, stakes in list(self.stakes.items()):
            left = {order: stake for order, stake in stakes.items() if not stake.ended_ms or stake.opened_ms // DAY_MS >= day}
            self.stakes[subscription] = left
            if not left:
                del self.stakes[subscription]
        for own in columns.values():
            own.data[:, S["spent"]] = 0
            for place in range(len(own)) if self.stakes else ():
                own.data[place, S["spent"]] = self.sums(int(own.data[place, 0]))[1]

    # --- stops

    def put_copy_stop(self, stop: CopyStopFacts) -> None:
        self.copy_stops[stop.subscription] = self._copy_stops[stop.subscription] = stop

    def drop_copy_stop(self, subscription: int) -> None:
        self._copy_stops.pop(subscription, None)
        if self.copy_stops.pop(subscription, None) is not None:
            self._gone.append((CopyStop, (subscription, 0)))

    def realised(self, link: LinkRecord, amount: int) -> None:
        """A closing of a copy has made (or lost) so much, costs taken off."""
        stop = self.copy_stops.get(link.subscription)
        if stop is not None and not stop.stopped_ms:
            stop.realised += amount
            self.put_copy_stop(stop)

    def own_stop(self, link: LinkRecord) -> OwnStopFacts | None:
        """What the follower set for a copy itself."""
        return self.own_stops.get((link.subscription, link.master_order))

    def put_own_stop(self, stop: OwnStopFacts) -> None:
        key = (stop.subscription, stop.master_order)
        self.own_stops[key] = self._own_stops[key] = stop

    def drop_own_stop(self, stop: OwnStopFacts) -> None:
        key = (stop.subscription, stop.master_order)
        self._own_stops.pop(key, None)
        del self.own_stops[key]
        self._gone.append((OwnStop, key))

    def watched(self) -> Iterator[CopyStopFacts]:
        """The stops of whole copies that have not acted."""
        return (stop for stop in list(self.copy_stops.values()) if not stop.stopped_ms)
