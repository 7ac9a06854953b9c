"""Loads the past of an account that traded elsewhere: closed trades and daily equity from two CSV files, whole or not at all.

    trades.csv   order,symbol,side,volume,open_time,open_price,close_time,close_price,profit,commission,swap
    equity.csv   date,equity,flow

Loading the same files again changes nothing; a row that differs from what was imported before replaces it. What the venue itself told is
never replaced: its trades are left out and counted, its days are refused.

The running service needs no telling. One transaction writes everything and marks the master's row stale; the service, which keeps no
figures in memory, looks for stale masters each second and tells their statistics anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from shared.store.work import Store, Work
from sqlalchemy import func, select, update

from stats import nav, store
from stats.amounts import ONE
from stats.days import Calendar
from stats.decide import Rules
from stats.files import BadRow, EquityRow, TradeRow, read_equity, read_trades, rows_of
from stats.recompute import recompute
from stats.settings import StatsSettings
from stats.standing import OPENING
from stats.store import ACCOUNT, DAY, DEAL, FLOWS

Progress = Callable[[int, int], None]
"""Called now and then with how many steps are done, of how many: a row is a step when it is read, and one when it is stored."""

CHUNK = 2000


@dataclass(slots=True)
class Report:
    """What came of an import. With `errors`, nothing was loaded."""

    trades: int = 0
    trades_known: int = 0
    """Trades that the venue told itself: left out."""
    days: int = 0
    errors: list[BadRow] = field(default_factory=list)


class Snapshot(NamedTuple):
    """An imported day's end on the curve; `quality` as in `stats.nav`."""

    day: int
    equity: int
    nav: Decimal
    epoch: int
    alive: int
    quality: int


async def load(
    service: Store,
    login: int,
    trades_csv: Path | None,
    equity_csv: Path | None,
    progress: Progress = lambda _done, _total: None,
    settings: StatsSettings | None = None,
) -> Report:
    """Loads one account's past into the stats store, in one transaction. Bad rows are reported, all of them, and then nothing is loaded."""
    settings = settings or StatsSettings()
    async with service.work() as work:  # what the running service counts with, whatever is set where this runs
        calendar = Calendar(await store.days_zone(work.session, settings))
        least = await store.kept_min_base(work.session, settings.stats_min_base)
    rules = Rules(least * ONE, settings.stats_year_days)
    total = 2 * (rows_of(trades_csv) + rows_of(equity_csv))
    steps = _Steps(progress, total)
    report = Report()
    trades = read_trades(trades_csv, calendar, service.clock(), report.errors, steps.step) if trades_csv else []
    equity = read_equity(equity_csv, report.errors, steps.step) if equity_csv else []
    if report.errors:
        return report
    async with service.work() as work:
        await store.lock_accounts(work.session, [login])
        opened = await _first_day(work, login)
        if opened is None:
            report.errors.append(BadRow("", 0, f"account {login} is not known: the venue has to tell of it first"))
            return report
        name = equity_csv.name if equity_csv else ""
        report.errors += [BadRow(name, row.line, "the venue's own snapshots have begun by then") for row in equity if row.day >= opened]
        if report.errors:
            return report
        await _store_trades(work, login, trades, report, steps)
        await _store_equity(work, login, equity, rules.min_base, steps)
        report.days = len(equity)
        await recompute(work, [login], calendar, rules)
    steps.done()
    return report


class _Steps:
    """Counts steps, and tells the progress once in a while."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._at = progress, total, 0

    def step(self, count: int = 1) -> None:
        before, self._at = self._at, min(self._at + count, self._total)
        if before // CHUNK != self._at // CHUNK:
            self._progress(self._at, self._total)

    def done(self) -> None:
        self._progress(self._total, self._total)


async def _first_day(work: Work, login: int) -> int | None:
    """The day of the account's first snapshot of its own; None when the account is not known."""
    statement = select(func.min(FLOWS.c.day)).where(FLOWS.c.login == login, FLOWS.c.kind == OPENING)
    day: int | None = (await work.session.execute(statement)).scalar()
    return day


async def _store_trades(work: Work, login: int, trades: Sequence[TradeRow], report: Report, steps: _Steps) -> None:
    """Each trade is one deal, with its order's negative for an id: it cannot be taken for one of the venue's."""
    for start in range(0, len(trades), CHUNK):
        part = trades[start : start + CHUNK]
        statement = select(DEAL.c.order).where(DEAL.c.login == login, DEAL.c.deal > 0, DEAL.c.order.in_([row.order for row in part]))
        known = set((await work.session.execute(statement)).scalars())
        values = [
            {
                "login": login,
                "deal": -row.order,
                "order": row.order,
                "symbol": row.symbol,
                "side": row.side,
                "closed": row.volume,
                "left": 0,
                "profit": row.profit,
                "commission": row.commission,
                "swap": row.swap,
                "opened_ms": row.opened_ms,
                "closed_ms": row.closed_ms,
                "capital": None,
            }
            for row in part
            if row.order not in known
        ]
        await store.put(work.session, DEAL, values)
        report.trades += len(values)
        report.trades_known += len(part) - len(values)
        steps.step(len(part))


async def _store_equity(work: Work, login: int, equity: Sequence[EquityRow], min_base: int, steps: _Steps) -> None:
    """Adds snapshots to those imported before, and draws the whole imported curve anew, up to where the account's own begins."""
    if not equity:
        return
    empty = {"pnl": 0, "trades": 0, "wins": 0, "gain": 0, "loss": 0, "holding_ms": 0, "capital": 0, "corrections": 0}
    values = [
        {"login": login, "day": row.day, **empty, "equity": row.equity, "nav": nav.ONE, "epoch": 1, "alive": 1, "held": 1}
        | {"quality": 0, "imported": 1, "paid": row.paid}
        for row in equity
    ]
    snapshot_of = ("equity", "nav", "epoch", "alive", "held", "quality", "imported", "paid")
    await store.put(work.session, DAY, values, lambda new: {name: new[name] for name in snapshot_of})
    own = (DAY.c.login == login, DAY.c.imported == 1)
    known = await work.session.execute(select(DAY.c.day, DAY.c.equity, DAY.c.paid).where(*own).order_by(DAY.c.day))
    drawn = curve([tuple(row) for row in known], min_base)
    columns = ("day", "equity", "nav", "epoch", "alive", "quality")
    rows = [{"login": login, "held": 1, **dict(zip(columns, point, strict=True))} for point in drawn]
    await store.put(work.session, DAY, rows, lambda new: {name: new[name] for name in columns[1:]})
    first = drawn[0]
    inception = {"inception_day": first.day, "inception_nav": first.nav, "inception_equity": first.equity, "inception_epoch": first.epoch}
    await work.session.execute(update(ACCOUNT).where(ACCOUNT.c.login == login).values(**inception))
    steps.step(len(equity))


def curve(rows: Sequence[tuple[int, int, int]], min_base: int) -> list[Snapshot]:
    """Snapshots (day, equity, paid in on that day) as a curve that ends where the account's own begins: at NAV 1 in epoch 1.

    A curve that ends at zero equity ends the epoch before. Each day is a Modified Dietz return on the snapshot before it.
    """
    raw: list[Snapshot] = []
    at, epoch, alive = nav.ONE, 1, True
    for index, (day, equity, paid) in enumerate(rows):
        quality = nav.EXACT_QUALITY
        if index and not alive and equity > 0:
            at, epoch, alive = nav.ONE, epoch + 1, True
        elif index and alive:
            factor, quality = nav.dietz(rows[index - 1][1], equity, paid, min_base)
            at = at if factor is None else nav.grown(at, factor)
            alive = at > 0
        raw.append(Snapshot(day, equity, at, epoch, int(alive), quality))
    shift = (1 if alive else 0) - epoch
    scale = at if alive else nav.ONE
    return [one._replace(nav=nav.measured(one.nav, scale) if one.epoch == epoch else one.nav, epoch=one.epoch + shift) for one in raw]
