"""Masters' days of being copied again, from what is stored of each copy, closing and accrual: the same sums to the last digit.

Days older than copies are kept stay as they are: no window reaches them. How many followers a day had is an observation, and stays, too.
"""

from collections import Counter, defaultdict
from collections.abc import Collection

from shared.store.work import Work
from sqlalchemy import delete, func, select, update

from stats import copystore
from stats.copyflow import COUNTED, Added
from stats.copying import Outcome, bucket, share_of
from stats.copystore import ACCRUAL, COPIED, COPIES_KEPT_DAYS, COPY_DAY, COPY_LATENCY, PARTICIPANT, SUBSCRIPTION, SUMS
from stats.days import Calendar
from stats.store import DEAL

FETCH = 20_000


async def recopy(work: Work, logins: Collection[int], calendar: Calendar) -> None:
    """Computes the copying of these masters anew."""
    session = work.session
    first = calendar.day(work.now) - COPIES_KEPT_DAYS
    for login in logins:
        owned = select(SUBSCRIPTION.c.id).where(SUBSCRIPTION.c.master_login == login)
        if (await session.execute(owned.limit(1))).first() is None:
            continue
        zero = dict.fromkeys(SUMS, 0)
        await session.execute(update(COPY_DAY).where(COPY_DAY.c.login == login, COPY_DAY.c.day >= first).values(**zero))
        for table in (COPY_LATENCY, PARTICIPANT):
            await session.execute(delete(table).where(table.c.login == login, table.c.day >= first))
        added: Added = defaultdict(Counter)
        seen: set[tuple[int, int, int]] = set()
        latencies: Counter[tuple[int, int, int]] = Counter()
        await _copies(work, login, first, added, latencies)
        await _closings(work, login, first, calendar, added, seen)
        await _charges(work, login, first, added, seen)
        for key, count in (await copystore.new_participants(session, seen)).items():
            added[key]["participants"] += count
        await copystore.add_days(session, added, observe=False)
        await copystore.add_latencies(session, latencies)


async def _copies(work: Work, login: int, first: int, added: Added, latencies: Counter[tuple[int, int, int]]) -> None:
    """What became of copies, and their fills."""
    own = COPIED.join(SUBSCRIPTION, SUBSCRIPTION.c.id == COPIED.c.subscription)
    counted = select(COPIED.c.day, COPIED.c.outcome, func.count()).select_from(own)
    counted = counted.where(SUBSCRIPTION.c.master_login == login, COPIED.c.own == 0, COPIED.c.day >= first)
    for day, outcome, count in await work.session.execute(counted.group_by(COPIED.c.day, COPIED.c.outcome)):
        if Outcome(outcome) in COUNTED:
            added[login, day][COUNTED[Outcome(outcome)]] += count
    filled = select(COPIED.c.fill_day, COPIED.c.latency, func.count(), func.sum(COPIED.c.points), func.sum(COPIED.c.bps)).select_from(own)
    filled = filled.where(SUBSCRIPTION.c.master_login == login, COPIED.c.fill_day >= first)
    for day, latency, count, points, bps in await work.session.execute(filled.group_by(COPIED.c.fill_day, COPIED.c.latency)):
        latencies[login, day, bucket(latency)] += count
        added[login, day].update({"fills": count, "points": int(points), "bps": int(bps)})


async def _closings(work: Work, login: int, first: int, calendar: Calendar, added: Added, seen: set[tuple[int, int, int]]) -> None:
    """What closed copies made, in days and, over all time, of each subscription."""
    net = (DEAL.c.profit + DEAL.c.commission + DEAL.c.swap).label("net")
    statement = select(DEAL.c.subscription, DEAL.c.closed_ms, net, DEAL.c.base, DEAL.c.allocation)
    statement = statement.join(SUBSCRIPTION, SUBSCRIPTION.c.id == DEAL.c.subscription).where(SUBSCRIPTION.c.master_login == login)
    profits: Counter[int] = Counter()
    connection = await work.session.connection()
    result = await connection.stream(statement)
    async for part in result.partitions(FETCH):
        for subscription, closed_ms, made, base, allocation in part:
            profits[subscription] += made
            day = calendar.day(closed_ms)
            if day >= first:
                added[login, day]["made"] += share_of(made, base, allocation)
                seen.add((login, day, subscription))
    await work.session.execute(update(SUBSCRIPTION).where(SUBSCRIPTION.c.master_login == login).values(profit=0))
    await copystore.add_profits(work.session, profits)


async def _charges(work: Work, login: int, first: int, added: Added, seen: set[tuple[int, int, int]]) -> None:
    """What rewards took."""
    statement = select(ACCRUAL.c.subscription, ACCRUAL.c.day, ACCRUAL.c.fee, ACCRUAL.c.base, ACCRUAL.c.allocation)
    statement = statement.join(SUBSCRIPTION, SUBSCRIPTION.c.id == ACCRUAL.c.subscription)
    for subscription, day, fee, base, allocation in await work.session.execute(
        statement.where(SUBSCRIPTION.c.master_login == login, ACCRUAL.c.day >= first)
    ):
        added[login, day]["paid"] += share_of(fee, base, allocation)
        seen.add((login, day, subscription))
