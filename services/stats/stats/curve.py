"""An account's daily curve over a window: the NAV at each day's end, which days really are returns, and what risk they show.

Formulas.md section 8. A day that nothing was told of is flat when nothing was open, else a gap: the NAV is carried and the day is no return
of zero. Days that began with less than `min_base` are excluded. Figures are fractions, not percentages, and not rounded.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from shared.money import EXACT

from stats.days import is_weekend
from stats.nav import EXACT_QUALITY
from stats.standing import DayEnd, Inception

ZERO, ONE = Decimal(0), Decimal(1)
RETURNS_MIN = 20
"""Fewer daily returns than this say nothing about risk."""


class Point(NamedTuple):
    """The account at the end of a day. `growth`: what the day multiplied the NAV by; None where the day is no return."""

    day: int
    nav: Decimal
    equity: int
    epoch: int
    alive: bool
    quality: int
    growth: Decimal | None
    gap: bool = False
    excluded: bool = False


def expand(inception: Inception, ends: Iterable[DayEnd], first: int, last: int, min_base: int) -> list[Point]:
    """One point for each day from `first`, or the inception where that is later, to `last`.

    `ends` are snapshots in the order of their days, from the last one at or before `first` on.
    """
    points: list[Point] = []
    known = DayEnd(0, inception.day, inception.equity, inception.nav, inception.epoch, 1, 0, EXACT_QUALITY)
    at = Point(known.day, known.nav, known.equity, known.epoch, alive=True, quality=EXACT_QUALITY, growth=None)

    def until(day: int) -> None:
        nonlocal at
        for missing in range(max(at.day + 1, first), day):
            growth = None if known.held or not at.alive else ONE
            excluded = growth is not None and at.equity < min_base
            at = Point(
                missing,
                at.nav,
                at.equity,
                at.epoch,
                at.alive,
                EXACT_QUALITY,
                None if excluded else growth,
                gap=bool(known.held),
                excluded=excluded,
            )
            points.append(at)

    if at.day >= first:
        points.append(at)
    for end in ends:
        if end.day > last:
            break
        if end.day <= inception.day:
            continue
        until(end.day)
        growth, excluded = _growth(at, end, min_base)
        at = Point(end.day, end.nav, end.equity, end.epoch, bool(end.alive), end.quality, growth, excluded=excluded)
        known = end
        if end.day >= first:
            points.append(at)
    until(last + 1)
    return points


def _growth(before: Point, end: DayEnd, min_base: int) -> tuple[Decimal | None, bool]:
    """A day's growth, and whether it was left out because it began with too little."""
    start = before.nav if before.alive else ONE if end.epoch > before.epoch else ZERO
    if start == ZERO:
        return None, False
    if before.alive and before.equity < min_base and before.equity != 0:
        return None, True
    if end.epoch - before.epoch > (0 if before.alive else 1):
        return ZERO, False  # an epoch ended on this day: a deposit after it launders nothing
    return EXACT.divide(end.nav, start), False


class Base(NamedTuple):
    """What a window is measured against."""

    nav: Decimal
    equity: int
    epoch: int


def base_of(points: Sequence[Point], epoch_equity: int) -> Base | None:
    """The base of a window whose first point is the base snapshot: the epoch that begins in it, where that snapshot is an ended one's."""
    first, last = points[0], points[-1]
    if first.alive:
        return Base(first.nav, first.equity, first.epoch)
    return Base(ONE, epoch_equity, first.epoch + 1) if last.epoch > first.epoch else None


def roi(points: Sequence[Point], base: Base | None) -> Decimal | None:
    """The time-weighted return over the points; -1 when the base's epoch has ended since: a new deposit launders nothing."""
    if base is None or base.nav == ZERO or (base.equity == 0 and points[-1].equity == 0 and points[-1].nav == base.nav):
        return None
    last = points[-1]
    if last.epoch > base.epoch or not last.alive:
        return -ONE
    return EXACT.subtract(EXACT.divide(last.nav, base.nav), ONE)


def drawdown(points: Sequence[Point], base: Base | None) -> Decimal | None:
    """The deepest fall of the NAV from its highest so far, base included, between 0 and 1."""
    if base is None or base.nav == ZERO:
        return None
    peak, deepest = base.nav, ZERO
    for point in points:
        if point.epoch < base.epoch:
            continue
        if point.epoch > base.epoch or not point.alive:
            return ONE
        peak = max(peak, point.nav)
        deepest = max(deepest, EXACT.subtract(ONE, EXACT.divide(point.nav, peak)))
    return deepest


def growth(points: Sequence[Point], base: Base | None) -> list[Decimal]:
    """The time-weighted return at the end of each day after the base snapshot, as fractions; -1 from the end of the base's epoch on."""
    if base is None or base.nav == ZERO:
        return []
    found, ended = [], False
    for point in points[1:]:
        if point.epoch < base.epoch:
            continue
        ended = ended or point.epoch > base.epoch or not point.alive
        found.append(-ONE if ended else EXACT.subtract(EXACT.divide(point.nav, base.nav), ONE))
    return found


def returns(points: Sequence[Point], year_days: int) -> list[Decimal]:
    """The daily returns after the base snapshot (the first point); a year of 252 days has no weekends."""
    return [
        EXACT.subtract(point.growth, ONE)
        for point in points[1:]
        if point.growth is not None and (year_days != 252 or not is_weekend(point.day))
    ]


def mean(values: Sequence[Decimal]) -> Decimal:
    return EXACT.divide(_sum(values), Decimal(len(values)))


def deviation(values: Sequence[Decimal]) -> Decimal:
    """The sample's standard deviation (ddof=1); at least two values."""
    middle = mean(values)
    squares = [EXACT.power(EXACT.subtract(value, middle), 2) for value in values]
    return EXACT.sqrt(EXACT.divide(_sum(squares), Decimal(len(values) - 1)))


def sharpe(values: Sequence[Decimal], year_days: int) -> Decimal | None:
    """mean / standard deviation * sqrt(days in a year); None for fewer than 20 returns or none that differ."""
    if len(values) < RETURNS_MIN:
        return None
    spread = deviation(values)
    return EXACT.multiply(EXACT.divide(mean(values), spread), EXACT.sqrt(Decimal(year_days))) if spread else None


def sortino(values: Sequence[Decimal], year_days: int) -> Decimal | None:
    """mean / downside deviation * sqrt(days in a year); None for fewer than 20 returns or no loss."""
    if len(values) < RETURNS_MIN:
        return None
    downside = EXACT.sqrt(EXACT.divide(_sum([EXACT.power(min(value, ZERO), 2) for value in values]), Decimal(len(values))))
    return EXACT.multiply(EXACT.divide(mean(values), downside), EXACT.sqrt(Decimal(year_days))) if downside else None


def _sum(values: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total
