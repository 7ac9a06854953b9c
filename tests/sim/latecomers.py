"""Trades that are over before the executor hears that somebody follows: they leave a skip, and no copy (decision 11).

Who is to copy what follows from when each was written. Where the executor reads a subscription after a trade's end, nothing can be copied
any more; the oracle, which knows no order of reading, is told so, for exactly those.
"""

from collections.abc import Iterable

from tests.chaos.oracle import FOLLOWERS_OF, trade
from tests.chaos.oracle import World as Expected
from tests.sim.check import CANCELLED, Safety
from tests.sim.workload import Workload

TRADES = "trade.push"


class Latecomers:
    """Followers whose subscriptions are made while trades are."""

    def __init__(self, work: Workload, safety: Safety, followers: Iterable[str], numbers: Iterable[int]) -> None:
        quick = [k for k in numbers if trade(k).quick]
        self._open = [(who, k) for k in quick for who in FOLLOWERS_OF[trade(k).master] if who in set(followers)]
        self._work = work
        self._safety = safety
        self._ends: dict[int, int] = {}
        """In which entry of its log the venue told a trade's end."""
        self.unknown: set[tuple[str, int]] = set()
        """Of whom the executor knew nothing when it read a trade's end."""

    def see(self) -> None:
        """To be called after each step: who is not known yet where a trade's end has just been read?"""
        for who, k in list(self._open):
            end = self._end(k)
            if not end or not self._rows("SELECT number FROM log_place WHERE stream = ? AND number >= ?", TRADES, end):
                continue
            self._open.remove((who, k))
            pair = (self._work.logins[trade(k).master], self._work.logins[who])
            if not self._rows("SELECT id FROM subscription WHERE master_login = ? AND follower_login = ?", *pair):
                self.unknown.add((who, k))

    def excuse(self, expected: Expected) -> None:
        """Tells the oracle of those for whom the executor has written such a skip."""
        for who, k in sorted(self.unknown):
            skip = "SELECT id FROM link WHERE follower_login = ? AND master_order = ? AND state = ? AND reason = 'MASTER_CLOSED'"
            if self._rows(skip, self._work.logins[who], self._work.orders[k], CANCELLED):
                self.unknown.discard((who, k))
                expected.missed(who, k)

    def _end(self, k: int) -> int:
        if k not in self._ends and k in self._work.orders:
            told = self._safety.tells(TRADES, f'"x-{k}"')
            self._ends |= {k: told} if told else {}
        return self._ends.get(k, 0)

    def _rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return self._work.world.disks["executor"].rows(statement, *values)
