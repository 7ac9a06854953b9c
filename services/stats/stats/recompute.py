"""Everything again from what is stored of trades, flows and equity: the same figures to the last digit.

For an import, which changes the past, and for a person who wants to check: nothing in the running of the service needs it.
"""

from collections.abc import AsyncIterator, Collection
from typing import Any

from shared.store.work import Work
from sqlalchemy import and_, delete, select, update

from stats import store
from stats.days import Calendar
from stats.decide import Rules
from stats.recopy import recopy
from stats.standing import DayEnd, replay
from stats.store import ACCOUNT, DAY, DEAL, DEAL_COLUMNS, SNAPSHOT_COLUMNS, SYMBOL_DAY
from stats.trades import Change, Refold, Tally

FETCH = 20_000


async def recompute(work: Work, logins: Collection[int] | None, calendar: Calendar, rules: Rules) -> None:
    """Computes tallies, NAVs and chains of these accounts (None: all) anew, and has their masters told again."""
    session = work.session
    if logins is None:
        logins = list((await session.execute(select(ACCOUNT.c.login))).scalars())
    await store.lock_accounts(session, logins)
    zero: dict[str, Any] = dict(Tally()._asdict())
    for chunk in _chunks(logins):
        await session.execute(update(DAY).where(DAY.c.login.in_(chunk)).values(**zero))
        await session.execute(delete(SYMBOL_DAY).where(SYMBOL_DAY.c.login.in_(chunk)))
        await store.mark_stale(session, chunk)
    await store.add_change(session, await refolded(work, logins, calendar))
    for login in logins:
        await _rechain(work, login, rules)
    await recopy(work, logins, calendar)


async def refolded(work: Work, logins: Collection[int], calendar: Calendar) -> Change:
    """What the stored deals of accounts come to."""
    refold = Refold(calendar.day)
    for chunk in _chunks(logins):
        async for part in _deals(work, chunk):
            refold.add(part)
    return refold.change()


async def _deals(work: Work, logins: Collection[int]) -> AsyncIterator[Any]:
    statement = select(*DEAL_COLUMNS).where(DEAL.c.login.in_(logins)).order_by(DEAL.c.login, DEAL.c.order)
    connection = await work.session.connection()
    result = await connection.stream(statement)
    async for part in result.partitions(FETCH):
        yield part


async def _rechain(work: Work, login: int, rules: Rules) -> None:
    statement = select(DAY.c.login, DAY.c.day, *(DAY.c[name] for name in SNAPSHOT_COLUMNS))
    own = and_(DAY.c.login == login, DAY.c.equity.is_not(None), DAY.c.imported == 0)
    ends = [DayEnd(*row) for row in await work.session.execute(statement.where(own).order_by(DAY.c.day))]
    again, chain = replay(await store.links(work.session, login), ends, rules.min_base)
    await store.save_ends(work.session, again)
    values = {"chain_nav": chain.nav, "chain_equity": chain.equity, "epoch": chain.epoch, "alive": int(chain.alive)}
    await work.session.execute(update(ACCOUNT).where(ACCOUNT.c.login == login).values(**values))


def _chunks(logins: Collection[int], size: int = 200) -> list[list[int]]:
    ordered = sorted(logins)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
