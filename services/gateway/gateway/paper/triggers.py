"""The prices and times at which something happens to orders, kept so that a price change or a tick touches only those that it reaches."""

import heapq
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from shared.symbols import BUY

from gateway.decide import Quote

SWEEP_FROM = 1024


class Hit(NamedTuple):
    """A level that the price has reached. `what` is `sl`, `tp` or `pending`; `version` is the order's when the level was set."""

    order: int
    what: str
    version: int


class _Levels:
    """Levels that are reached in one direction. Those of orders that have changed stay until a sweep, which comes as they pile up."""

    def __init__(self, sign: int, alive: Callable[[Hit], bool]) -> None:
        self._sign = sign
        self._alive = alive
        self._heap: list[tuple[Decimal, Hit]] = []
        self._sweep_at = SWEEP_FROM

    def watch(self, level: Decimal, hit: Hit) -> None:
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if self._alive(entry[1])]
            heapq.heapify(self._heap)
            self._sweep_at = max(SWEEP_FROM, 2 * len(self._heap))
        heapq.heappush(self._heap, (level * self._sign, hit))

    def take(self, price: Decimal) -> list[Hit]:
        now, hits = price * self._sign, []
        while self._heap and self._heap[0][0] <= now:
            hit = heapq.heappop(self._heap)[1]
            if self._alive(hit):
                hits.append(hit)
        return hits


class Triggers:
    """One symbol's levels. `alive` says whether a level still counts: its order is there and has not been changed since."""

    def __init__(self, alive: Callable[[Hit], bool]) -> None:
        self._falls = {"bid": _Levels(-1, alive), "ask": _Levels(-1, alive)}
        self._rises = {"bid": _Levels(1, alive), "ask": _Levels(1, alive)}

    def protect(self, side: str, sl: Decimal, tp: Decimal, order: int, version: int) -> None:
        """Watches a position's stop loss and take profit (0: none): a buy's against the bid, a sell's against the ask."""
        price = "bid" if side == BUY else "ask"
        for what, level, falls in (("sl", sl, side == BUY), ("tp", tp, side != BUY)):
            if level > 0:
                self._levels(falls)[price].watch(level, Hit(order, what, version))

    def wait(self, side: str, kind: str, price: Decimal, order: int, version: int) -> None:
        """Watches a pending order's price: a limit is reached from the worse side, a stop from the better one."""
        falls = (side == BUY) == (kind == "limit")
        self._levels(falls)["ask" if side == BUY else "bid"].watch(price, Hit(order, "pending", version))

    def take(self, quote: Quote) -> list[Hit]:
        """Takes out what the price has reached, oldest order first."""
        hits: list[Hit] = []
        for levels in (self._falls, self._rises):
            hits += levels["bid"].take(quote.bid)
            hits += levels["ask"].take(quote.ask)
        return sorted(hits)

    def _levels(self, falls: bool) -> dict[str, _Levels]:
        return self._falls if falls else self._rises


class Expiries:
    """When pending orders end. `alive` says whether an order is still there and ends at that time; the others go with a sweep."""

    def __init__(self, alive: Callable[[int, int], bool]) -> None:
        self._alive = alive
        self._heap: list[tuple[int, int]] = []
        self._sweep_at = SWEEP_FROM

    def watch(self, expires_ms: int, order: int) -> None:
        if len(self._heap) >= self._sweep_at:
            self._heap = sorted({(when, number) for when, number in self._heap if self._alive(number, when)})
            self._sweep_at = max(SWEEP_FROM, 2 * len(self._heap))
        heapq.heappush(self._heap, (expires_ms, order))

    def due(self, now: int) -> bool:
        return bool(self._heap) and self._heap[0][0] <= now

    def take(self) -> tuple[int, int]:
        """Takes out what ends first: when, and the order."""
        return heapq.heappop(self._heap)
