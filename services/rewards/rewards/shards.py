"""Whose each row of the rewards store is, when followers move between shards.

What belongs to a follower moves with it. Masters, policies, accounts and symbols are known to every shard. The journal is append-only: it
stays with the shard that wrote it, and the books of all shards together are the ledger.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, case, null, select

from rewards import tables

APART = frozenset({"journal", "balance"})
"""Tables whose rows stay where they were written."""


def owners() -> Mapping[Table, ColumnElement[Any]]:
    """For each table whose rows move, the login of the follower that a row belongs to; null: every shard has the row."""
    subscription = tables.subscription

    def subscriber(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return select(subscription.c.follower_login).where(subscription.c.id == column).scalar_subquery()

    known = (tables.master, tables.policy, tables.account, tables.symbol)
    by_login = (tables.trade, tables.flow, tables.equity_day)
    by_follower = (subscription, tables.accrual, tables.mark, tables.sharing)
    by_subscription = (tables.billing, tables.standing)
    return (
        {table: null() for table in known}
        | {table: table.c.login for table in by_login}
        | {table: table.c.follower_login for table in by_follower}
        | {table: subscriber(table.c.subscription_id) for table in by_subscription}
        | {tables.activity: case((tables.activity.c.kind == "subscription", subscriber(tables.activity.c.key)), else_=null())}
    )
