"""A venue behind a bad line: it carries an order out and the answer is lost or late, or it never gets the order.

What it holds and what its accounts have is told as always (`account.changed`): only the answers to orders are affected, row by row.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.paper.venue import PaperVenue
from gateway.venue import CopyTable
from shared.contracts.config import ConfigEvent
from shared.contracts.orders import SyncAccounts
from shared.contracts.rewards import BalancesRequested
from shared.contracts.trades import (
    TOPIC,
    BalancesChanged,
    BalancesRefused,
    OrdersRejected,
    PendingCancelled,
    PendingChanged,
    PendingPlaced,
    PositionsChanged,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
)
from shared.store.work import Store, Work

ANSWERS = (
    PositionsOpened,
    PositionsReduced,
    PositionsClosed,
    PositionsChanged,
    PendingPlaced,
    PendingChanged,
    PendingCancelled,
    OrdersRejected,
    BalancesChanged,
    BalancesRefused,
)
DONE, DROPPED, AWAY, LATE = "done", "dropped", "away", "late"


@dataclass(frozen=True)
class Line:
    """How bad the line is: parts of all rows. A late answer comes after `late_ms` at most."""

    dropped: float = 0.0
    away: float = 0.0
    late: float = 0.0
    late_ms: int = 8000


class UnreliableVenue:
    """The paper venue as `gateway.venue.Venue`, on such a line."""

    def __init__(self, venue: PaperVenue, store: Store, chance: random.Random, line: Callable[[], Line]) -> None:
        self.venue = venue
        self.counts: dict[str, int] = dict.fromkeys((DONE, DROPPED, AWAY, LATE), 0)
        self._store = store
        self._chance = chance
        self._line = line
        self._fresh: list[tuple[int, Any]] = []
        self._late: list[tuple[int, Any]] = []
        store.on_rollback.append(self._fresh.clear)
        store.on_commit.append(lambda *_: self._committed())

    async def carry_out(self, table: CopyTable, work: Work) -> None:
        await self._by_rows(table, work, lambda some: self.venue.carry_out(some, work))

    async def settle(self, request: BalancesRequested, work: Work) -> None:
        await self._by_rows(request, work, lambda some: self.venue.settle(some, work))

    async def sync(self, request: SyncAccounts, work: Work) -> None:
        if self._fate() != AWAY:
            await self.venue.sync(request, work)

    async def follow(self, changes: Sequence[ConfigEvent], work: Work) -> None:
        await self.venue.follow(changes, work)

    async def snapshot(self, work: Work) -> None:
        await self.venue.snapshot(work)

    def forget(self) -> None:
        self.venue.forget()

    async def tell_late(self) -> None:
        """Tells the answers whose time has come."""
        now = self._store.clock()
        due = [event for at_ms, event in self._late if at_ms <= now]
        if due:
            async with self._store.work() as work:
                for event in due:
                    work.emit(TOPIC, event)
            self._late = [one for one in self._late if one[0] > now]

    @property
    def late(self) -> int:
        return len(self._late)

    async def _by_rows(self, table: Any, work: Work, act: Callable[[Any], Any]) -> None:
        fates: dict[str, list[Any]] = {}
        for row in table.rows:
            fate = self._fate()
            fates.setdefault(fate, []).append(row)
            self.counts[fate] += 1
        for fate, rows in fates.items():
            if fate == AWAY:
                continue
            before = len(work.emitted)
            await act(table.model_copy(update={"rows": tuple(rows)}))
            if fate == DONE:
                continue
            told, work.emitted[before:] = work.emitted[before:], []
            for topic, event in told:
                if not isinstance(event, ANSWERS):
                    work.emitted.append((topic, event))
                elif fate == LATE:
                    self._fresh.append((work.now + self._chance.randint(1, self._line().late_ms), event))

    def _fate(self) -> str:
        line = self._line()
        drawn = self._chance.random()
        for fate, part in ((DROPPED, line.dropped), (AWAY, line.away), (LATE, line.late)):
            if drawn < part:
                return fate
            drawn -= part
        return DONE

    def _committed(self) -> None:
        self._late += self._fresh
        self._fresh.clear()
