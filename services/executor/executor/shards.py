"""Whose each row of the executor's store is, when followers move between shards.

What belongs to a follower moves with it. Masters, their positions, accounts, symbols and halts are known to every shard. A fan-out that is
stored as one row for many followers is moved as the links that it stands for.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, null, select
from sqlalchemy.ext.asyncio import AsyncSession

from executor import fanouts, store
from executor.records import link_row
from executor.store import read_rows, table

APART = frozenset({"sync"})
"""Tables whose rows stay where they were written: a shard's questions to the venue."""
COUNTED = "series"
"""The table of last numbers by name: whoever takes a name up again goes on from the last."""


def owners() -> Mapping[Table, ColumnElement[Any]]:
    """For each table whose rows move, the login of the follower that a row belongs to; null: every shard has the row."""
    known = (store.Master, store.Halt, store.Account, store.Symbol, store.Position)
    follower = table(store.Follower)
    by_follower = (store.Subscription, store.Guard, store.Stake, store.CopyStop, store.OwnStop, store.Link)
    return (
        {table(model): null() for model in known}
        | {table(model): table(model).c.follower_login for model in by_follower}
        | {follower: follower.c.login}
    )


async def folded(session: AsyncSession) -> AsyncIterator[tuple[Table, list[dict[str, Any]]]]:
    """The links that have no row of their own yet, as rows."""
    link, names = table(store.Link), store.columns_of(store.Link)
    for row in await read_rows(session, store.FanOut):
        made = fanouts.unpacked(row)
        own = set((await session.execute(select(link.c.subscription).where(link.c.master_order == made[0].master_order))).scalars())
        yield link, [dict(zip(names, link_row(one), strict=True)) for one in made if one.subscription not in own]
