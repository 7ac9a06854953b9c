"""The marketplace in memory: what masters are filtered and sorted by, as columns; and the text of rows that were answered before.

The store is the truth: every change of a master, its policy, its followers or its statistics gives the statistics' rows a new number
(`read_models.touch_master`), and what has a higher number than was seen is read again: after this instance's own writes before the next
answer, otherwise within a moment."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import structlog
from shared.contracts.stats import PERIOD_DAYS
from shared.store.engine import AWAY
from shared.store.work import Store
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import columns, news, views
from api.columns import NULL, Column, Rows, units
from api.filters import Query
from api.read_models import MasterStats
from api.store import Follower, Master, RewardPolicy, Subscription
from api.tables import Base, kind_of

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
PAUSE_S = 0.05
"""Between two looks while statistics stream in."""
TEXTS_MAX = 20_000
READ_AT_ONCE = 2_000
ROOM = 1_024
"""Places that the columns begin with; they double when there is no room."""
MASTER_FIELDS = tuple(field for field in views.MASTER if field not in {"description", "version"})
FIGURES = (*views.STATS, *views.MORE_STATS, "roi_simple", "coverage_days")
"""The statistics that masters are filtered and sorted by."""
SOURCES = tuple(views.RENAMED.get(field, views.Source(field)) for field in MASTER_FIELDS)


class Marketplace:
    """All masters, as columns: one place for each, and one set of statistics for each period."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._running = False
        self._seen = -1
        self._fresh = False
        self._at: dict[int, int] = {}
        """Where each master (its login) stands in the columns."""
        self._masters = {field: _empty(Master, source.column) for field, source in zip(MASTER_FIELDS, SOURCES, strict=True)}
        self._statistics = {period: {field: _empty(MasterStats, field) for field in FIGURES} for period in PERIOD_DAYS}
        self._owners = np.zeros(ROOM, dtype=np.int64)
        self._public = np.zeros(ROOM, dtype=np.bool_)
        self._free = list(range(ROOM - 1, -1, -1))
        self._by_id: Rows | None = None
        """The places in the order of the masters' ids; None when that has to be found out."""
        self._texts: OrderedDict[tuple[int, str], str] = OrderedDict()

    def stale(self) -> None:
        """Something was written by this instance: the next answer looks first."""
        self._fresh = False

    async def run(self) -> None:
        """Keeps up with what is written; runs as long as the service does."""
        try:
            while True:
                try:
                    await self._refresh()
                    self._running = True
                except AWAY as fault:
                    self._running = self._fresh = False
                    log.warning("database unavailable", fault=repr(fault))
                await asyncio.sleep(PAUSE_S)
                await self._store.places.wait(LOOK_EVERY_S)
        finally:
            self._running = False

    async def page(self, query: Query, period: str, customer_id: int) -> str:
        """The answer of the list: public enabled masters and the customer's own, filtered, sorted, and cut to the page."""
        if not self._fresh or not self._running:
            await self._refresh()
        known = self._masters | self._statistics[period]
        kept = known | {f"stats.{field}": known[field] for field in FIGURES}
        found = columns.ordered(query, kept, columns.matching(query, kept, self._visible(customer_id)))
        chosen = found[query.offset : query.offset + query.limit]
        logins = known["login"][chosen].tolist()
        own = (self._owners[chosen] == customer_id).astype(int).tolist()
        texts = await self._rows(logins, period)
        rows = [f'{texts[login]},"own":{mine}}}' for login, mine in zip(logins, own, strict=True) if login in texts]
        return f'{{"rows":[{",".join(rows)}],"count":{len(found)}}}'

    def _visible(self, customer_id: int) -> Rows:
        """Places of the masters that a customer may see, by their ids."""
        if self._by_id is None:
            places = np.fromiter(self._at.values(), dtype=np.intp, count=len(self._at))
            self._by_id = places[np.argsort(self._masters["id"][places])]
        seen: Rows = self._by_id[(self._public | (self._owners == customer_id))[self._by_id]]
        return seen

    async def _refresh(self) -> None:
        """Reads what was written since the last look."""
        async with self._turn:
            self._fresh = True
            started = time.perf_counter()
            try:
                async with self._store.read() as session:
                    last = (await news.span(session)).last
                    if last == self._seen:
                        return
                    count = 0
                    async for row in _changed(session, self._seen, last):
                        self._take(*row)
                        count += 1
                        if count % READ_AT_ONCE == 0:
                            await asyncio.sleep(0)  # others get their turn
            except BaseException:
                self._fresh = False
                raise
            self._seen = last
            if count > READ_AT_ONCE:
                log.info("marketplace read", rows=count, seconds=round(time.perf_counter() - started, 2))

    def _take(self, stats: Sequence[Any], master: Sequence[Any]) -> None:
        """One master's statistics for one period, and the master; None when there is none (any more)."""
        login, period, *figures = stats
        for name in PERIOD_DAYS:
            self._texts.pop((login, name), None)
        owner, *fields = master
        if owner is None:
            self._drop(login)
            return
        at = self._at.get(login)
        if at is None:
            at = self._place(login)
        self._owners[at] = owner
        was = self._masters["id"][at]
        for column, source, value in zip(self._masters.values(), SOURCES, fields, strict=True):
            column[at] = value // source.divisor if source.divisor != 1 else value
        if self._masters["id"][at] != was:
            self._by_id = None
        self._public[at] = bool(self._masters["enabled"][at]) and self._masters["visibility"][at] == "public"
        for column, figure in zip(self._statistics[period].values(), figures, strict=True):
            known = units(figure) if isinstance(figure, Decimal) else figure
            column[at] = NULL if known is None and not column.dtype.hasobject else known

    def _place(self, login: int) -> int:
        """Where a new master stands: no column has a value there."""
        if not self._free:
            room = len(self._owners)
            self._free = list(range(2 * room - 1, room - 1, -1))
            self._owners, self._public = (np.concatenate([one, np.zeros_like(one)]) for one in (self._owners, self._public))
            for columns_ in (self._masters, *self._statistics.values()):
                columns_.update({field: np.concatenate([column, _blank(column.dtype, room)]) for field, column in columns_.items()})
        at = self._free.pop()
        self._at[login] = at
        return at

    def _drop(self, login: int) -> None:
        at = self._at.pop(login, None)
        if at is not None:
            for columns_ in (self._masters, *self._statistics.values()):
                for column in columns_.values():
                    column[at] = None if column.dtype.hasobject else NULL
            self._free.append(at)
            self._by_id = None

    async def _rows(self, logins: list[int], period: str) -> dict[int, str]:
        """The text of each row, all but its end: kept from before, or read and rendered now."""
        found = {login: text for login in logins if (text := self._texts.get((login, period))) is not None}
        missing = [login for login in logins if login not in found]
        if not missing:
            return found
        seen = self._seen
        async with self._store.read() as session:
            for login, row in await rendered(session, missing, period):
                found[login] = row
                if seen == self._seen:  # else it may have changed while it was read
                    self._texts[login, period] = row
        while len(self._texts) > TEXTS_MAX:
            self._texts.popitem(last=False)
        return found


def _empty(table: type[Base], field: str) -> Column:
    """A column for what one of a table's has, without a value."""
    kind = kind_of(col(getattr(table, field)))
    return _blank(np.dtype(object if kind == "text" else np.int64), ROOM)


def _blank(dtype: np.dtype[Any], count: int) -> Column:
    return np.full(count, None if dtype.hasobject else NULL, dtype=dtype)


async def _changed(session: AsyncSession, after: int, upto: int) -> Any:
    """The statistics with a higher number, each with its master."""
    figures = [col(getattr(MasterStats, field)) for field in ("login", "period", *FIGURES)]
    fields = [col(Master.customer_id), *(col(getattr(Master, source.column)) for source in SOURCES)]
    statement: Any = select(*figures, *fields).join(Master, col(Master.login) == col(MasterStats.login), isouter=True)
    number: Any = col(MasterStats.change_id)
    result = await session.execute(statement.where(number > after, number <= upto))
    for row in result:
        yield row[: len(figures)], row[len(figures) :]


async def rendered(session: AsyncSession, logins: Iterable[int], period: str) -> list[tuple[int, str]]:
    """The rows of some masters as they are answered, without the end that says whether they are one's own."""
    joined = (col(MasterStats.login) == col(Master.login)) & (col(MasterStats.period) == period)
    whole: Any = (
        select(Master, MasterStats, RewardPolicy, _follower_count())
        .join(MasterStats, joined)
        .outerjoin(RewardPolicy, col(RewardPolicy.master_id) == col(Master.id))
        .where(col(Master.login).in_(list(logins)))
    )
    found = []
    for master, stats, policy, followers in (await session.execute(whole)).all():
        shown = views.as_object(master, views.MASTER) | {"stats": views.stats_view(stats)}
        shown |= {"reward_policy": views.policy_view(policy) if policy else None, "followers": followers}
        found.append((master.login, json.dumps(shown, ensure_ascii=False, allow_nan=False, separators=(",", ":"))[:-1]))
    return found


def _follower_count() -> Any:
    """How many accounts follow a master; the master's own customer is not counted."""
    return (
        select(func.count())
        .select_from(Subscription)
        .join(Follower, col(Follower.login) == col(Subscription.follower_login))
        .where(col(Subscription.master_login) == col(Master.login), col(Follower.customer_id) != col(Master.customer_id))
        .correlate(Master)
        .scalar_subquery()
    )
