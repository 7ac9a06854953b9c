"""What is asked of the executor's tables beyond their rows: series of numbers, counts, links, and what is old enough to go."""

from typing import Any

from shared.store.outbox import upsert
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from executor.store import Counter, Link, Position, Stake, Subscription, table


async def take_series(session: AsyncSession, name: str, count: int) -> int:
    """The first of `count` new numbers of a series."""
    own = table(Counter)
    statement = upsert(session, own).values(name=name, last=count)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"last": own.c.last + count}).returning(own.c.last)
    last: int = (await session.execute(statement)).scalar_one()
    return last - count + 1


async def series_last(session: AsyncSession, name: str) -> int:
    """The last number of a series that was taken."""
    own = table(Counter)
    return (await session.execute(select(own.c.last).where(own.c.name == name))).scalar() or 0


async def active_copies(session: AsyncSession, master_login: int) -> dict[int, int]:
    """How many links of each of a master's subscriptions are active, in flight or unknown."""
    link, subscription = table(Link), table(Subscription)
    statement = (
        select(link.c.subscription, func.count())
        .join(subscription, (subscription.c.id == link.c.subscription) & (subscription.c.follower_login == link.c.follower_login))
        .where(subscription.c.master_login == master_login, link.c.state == 0)
        .group_by(link.c.subscription)
    )
    return {row[0]: row[1] for row in await session.execute(statement)}


async def highest_order(session: AsyncSession) -> int:
    """The highest order of a position that is known."""
    return (await session.execute(select(func.max(table(Position).c.order)))).scalar() or 0


async def links_of(session: AsyncSession, *where: Any, limit: int | None = None) -> list[tuple[Any, ...]]:
    """Links, in the order of their ids."""
    own = table(Link)
    statement = select(*own.columns).where(*where).order_by(own.c.id).limit(limit)
    return [tuple(row) for row in (await session.execute(statement)).all()]


async def forget_old(session: AsyncSession, positions_before_ms: int) -> None:
    """Deletes closed positions that no active link refers to and that are older than is wanted; and what copies bound that ended
    a day before that."""
    stake = table(Stake)
    await session.execute(delete(stake).where(stake.c.ended_ms > 0, stake.c.ended_ms < positions_before_ms - 86_400_000))
    position, link = table(Position), table(Link)
    active = select(link.c.id).where(link.c.master_order == position.c.order, link.c.state == 0).exists()
    await session.execute(
        delete(position).where(position.c.volume == 0, position.c.closed_ms > 0, position.c.closed_ms < positions_before_ms, ~active)
    )
