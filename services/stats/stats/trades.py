"""Closed trades folded into days: one trade is one position, fully closed, its slices summed.

A day's tally is additive, so one closing deal costs the same whatever is stored, and a recompute that adds the same deals up in any order
comes to the same figures. A position counts to the day of its last closing; each slice's result to the day that it was closed on.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

QUARTER_MS = 900_000


class Deal(NamedTuple):
    """A closing deal: one slice of a position. `net` is profit + commission + swap in units of 1e-8; `left` 0 ends the position.

    `capital` is the least equity with which a copy of the position in proportion would have been possible (None: not known).
    """

    login: int
    order: int
    deal: int
    symbol: str
    left: int
    net: int
    opened_ms: int
    closed_ms: int
    capital: int | None = None


class Tally(NamedTuple):
    """What a day's closings come to. `gain` and `loss` (both positive) are the results of whole positions, as is `trades`."""

    pnl: int = 0
    trades: int = 0
    wins: int = 0
    gain: int = 0
    loss: int = 0
    holding_ms: int = 0
    capital: int = 0

    def plus(self, other: "Tally") -> "Tally":
        return Tally(
            self.pnl + other.pnl,
            self.trades + other.trades,
            self.wins + other.wins,
            self.gain + other.gain,
            self.loss + other.loss,
            self.holding_ms + other.holding_ms,
            max(self.capital, other.capital),
        )

    def minus(self) -> "Tally":
        """What takes this one back."""
        return Tally(-self.pnl, -self.trades, -self.wins, -self.gain, -self.loss, -self.holding_ms)


Day = tuple[int, int]
"""Login and day."""
SymbolDay = tuple[int, int, str]
"""Login, day and symbol."""


class Change(NamedTuple):
    """What deals change: tallies by login and day, and the result by login, day and symbol."""

    days: dict[Day, Tally]
    symbols: dict[SymbolDay, int]


def position(slices: Iterable[Deal], day_of: Callable[[int], int]) -> tuple[int, Tally] | None:
    """The day of a position's end and what it adds to it; None while it is open. A net of exactly 0 is no win."""
    net, last = 0, None
    for deal in slices:
        net += deal.net
        if deal.left == 0 and (last is None or deal.closed_ms > last.closed_ms):
            last = deal
    if last is None:
        return None
    held = max(0, last.closed_ms - last.opened_ms)
    return day_of(last.closed_ms), Tally(0, 1, int(net > 0), max(net, 0), max(-net, 0), held)


def fold(known: dict[tuple[int, int], list[Deal]], new: Iterable[Deal], day_of: Callable[[int], int]) -> Change:
    """What new deals change. `known` has the slices told before of the same positions, by login and order; it is extended by the new."""
    days: dict[Day, Tally] = {}
    symbols: dict[SymbolDay, int] = {}

    def add(login: int, day: int, tally: Tally) -> None:
        days[login, day] = days.get((login, day), Tally()).plus(tally)

    for deal in new:
        slices = known.setdefault((deal.login, deal.order), [])
        before = position(slices, day_of) if slices else None
        slices.append(deal)
        after = position(slices, day_of)
        day = day_of(deal.closed_ms)
        add(deal.login, day, Tally(pnl=deal.net, capital=deal.capital or 0))
        symbols[deal.login, day, deal.symbol] = symbols.get((deal.login, day, deal.symbol), 0) + deal.net
        if before is not None:
            add(deal.login, before[0], before[1].minus())
        if after is not None:
            add(deal.login, after[0], after[1])
    return Change(days, symbols)


class Refold:
    """All deals added up again, for a recompute: the same as `fold` of them, written for millions.

    Deals come as plain tuples of `Deal`'s fields, those of a position next to each other. A day is looked up once for each quarter of an
    hour, which no zone's midnight divides.
    """

    def __init__(self, day_of: Callable[[int], int]) -> None:
        self._day_of = day_of
        self._quarters: dict[int, int] = {}
        self._days: dict[Day, list[int]] = {}
        self._symbols: dict[SymbolDay, int] = {}
        self._key = (-1, -1)
        self._net = self._opened = 0
        self._ended = -1

    def add(self, deals: Iterable[Sequence[Any]]) -> None:
        """Adds deals, which follow those added before."""
        days, symbols, quarters = self._days, self._symbols, self._quarters
        for login, order, _, symbol, left, net, opened_ms, closed_ms, capital in deals:
            if (login, order) != self._key:
                self._end()
                self._key, self._net, self._ended = (login, order), 0, -1
            quarter = closed_ms // QUARTER_MS
            day = quarters.get(quarter)
            if day is None:
                day = quarters[quarter] = self._day_of(closed_ms)
            tally = days.get((login, day))
            if tally is None:
                tally = days[login, day] = [0] * 7
            tally[0] += net
            symbols[login, day, symbol] = symbols.get((login, day, symbol), 0) + net
            self._net += net
            if capital is not None and capital > tally[6]:
                tally[6] = capital
            if left == 0 and closed_ms > self._ended:
                self._ended, self._opened = closed_ms, opened_ms

    def _end(self) -> None:
        """The position so far is all there is of it."""
        if self._ended < 0:
            return
        login, net, day = self._key[0], self._net, self._quarters[self._ended // QUARTER_MS]
        tally = self._days[login, day]
        tally[1] += 1
        if net > 0:
            tally[2] += 1
            tally[3] += net
        else:
            tally[4] -= net
        tally[5] += max(0, self._ended - self._opened)

    def change(self) -> Change:
        """What all of it comes to."""
        self._end()
        self._ended = -1
        return Change({key: Tally(*values) for key, values in self._days.items()}, self._symbols)
