"""Tells masters' statistics: loads their days, decides all four periods, keeps what is told and emits it as one table."""

from collections.abc import Collection
from itertools import takewhile

from shared.contracts.stats import PERIOD_DAYS, TOPIC, StatsChanged, StatsRow
from shared.store.work import Work

from stats import copystore, store
from stats.copying import Audience, figures
from stats.curve import Point, expand
from stats.decide import LONGEST, Rules, Window, details_json, growth_history, statistics, window_points
from stats.standing import Standing
from stats.store import DayRead
from stats.trades import Tally

NOBODY = Audience(0, 0, 0, 0, 0)


def curve_of(account: Standing, days: list[DayRead], today: int, rules: Rules) -> list[Point]:
    """An account's curve over the longest window, the base snapshot first, the equity known last for today."""
    ends = [read.end for read in days if read.end is not None and read.day < min(account.day, today)]
    if account.day <= today or account.inception.day < today:
        ends.append(account.end_of_day(rules.min_base)._replace(day=min(account.day, today)))
    return expand(account.inception, ends, today - LONGEST, today, rules.min_base)


def windows(days: list[DayRead], today: int) -> dict[str, tuple[Tally, int]]:
    """The tally and the corrections of each period: one pass, from today back."""
    found: dict[str, tuple[Tally, int]] = {}
    tally, corrections = Tally(), 0
    back = [read for read in reversed(days) if read.day <= today]
    at = 0
    for period, length in sorted(PERIOD_DAYS.items(), key=lambda item: item[1]):
        for read in takewhile(lambda read, start=today - length: read.day > start, back[at:]):  # type: ignore[misc]
            tally, corrections = tally.plus(read.tally), corrections + read.corrections
            at += 1
        found[period] = tally, corrections
    return found


async def tell(work: Work, logins: Collection[int], today: int, rules: Rules) -> None:
    """Emits the statistics of masters whose accounts are known, all periods of all of them in one event; audiences as counted last."""
    rows: list[StatsRow] = []
    known = await store.accounts(work.session, logins)
    if not known:
        return
    days = await store.days(work.session, known, today - LONGEST)
    starts = {period: today - length + 1 for period, length in PERIOD_DAYS.items()}
    symbols = await store.symbol_results(work.session, known, starts, today)
    audiences = await copystore.audiences(work.session, known)
    copied = await copystore.days(work.session, known, today - LONGEST + 1, today)
    counted = {login for login in known if copied[login]}
    latencies = {
        period: await copystore.latencies(work.session, counted, first, today) if counted else {} for period, first in starts.items()
    }
    for login in sorted(known):
        account, own = known[login], days[login]
        points = curve_of(account, own, today, rules)
        results = {read.day: read.tally.pnl for read in own}
        for period, (tally, corrections) in windows(own, today).items():
            window = Window(tally, corrections, symbols[period][login])
            row, details = statistics(account, points, results, period, today, window, work.now, rules)
            shown = window_points(points, today, row.period_days)
            copies = [day for day in copied[login] if day.day >= starts[period]]
            audience = audiences.get(login, NOBODY)
            details |= figures(audience, copies, latencies[period].get(login, {}), shown, account.currency, rules.year_days)
            rows.append(row._replace(details=details_json(details, window.symbols, account.currency, growth_history(account, shown))))
    await store.save_told(work.session, rows)
    work.emit(TOPIC, StatsChanged.of(rows))


async def snapshot(work: Work) -> None:
    """Emits what was told last of every master again."""
    after = -1
    while rows := await store.told(work.session, after, 100):
        work.emit(TOPIC, StatsChanged.of(rows))
        after = rows[-1].login
