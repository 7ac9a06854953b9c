"""Accounts and subscriptions from the store into memory, many at once: how an executor starts with a million of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from shared.store import direct
from sqlalchemy.ext.asyncio import AsyncSession

from executor.columns import RULES, A, Accounts, Integers, S
from executor.store import IN_LIMIT, Account, Follower, Subscription, columns_of, table

NUMBERS = (
    *("id" if name == "subscription" else name for name in RULES),
    "master_login", "follower_login", "created_ms", "deleted", "rank", "past_due",
)  # fmt: skip
"""A subscription's stored numbers in the order of its columns. Its list of symbols is loaded after them."""
FOLLOWER = NUMBERS.index("follower_login")
FIGURES = ("demo", "leverage", "balance", "credit", "equity", "free_margin", "positions", "reward_credit", "updated_ms")
_STORED = [columns_of(Subscription).index(name) for name in (*NUMBERS, "symbols")]

Row = tuple[Any, ...]


async def subscriptions(session: AsyncSession, master_login: int) -> list[Row]:
    """A master's subscriptions in the order of their ids: `NUMBERS`, then the list of symbols."""
    names = _names((*NUMBERS, "symbols"))
    statement = f'SELECT {names} FROM "{table(Subscription).name}" WHERE master_login = ? AND deleted = 0 ORDER BY id'  # noqa: S608
    return await direct.fetch(session, statement, (master_login,))


def as_loaded(stored: Row) -> Row:
    """A whole row of the table as `subscriptions` gives it."""
    return tuple(stored[place] for place in _STORED)


def columns(rows: Sequence[Row], list_number: Callable[[str], int], accounts: Accounts) -> Integers:
    """Subscriptions as rows of columns; what only memory knows of them is 0."""
    made = np.zeros((len(rows), len(S)), dtype=np.int64)
    if rows:
        made[:, : len(NUMBERS)] = [row[:-1] for row in rows]
        made[:, S["symbols"]] = [list_number(row[-1]) for row in rows]
        made[:, S["account"]] = [accounts.place[row[FOLLOWER]] for row in rows]
    return made


async def accounts(session: AsyncSession, into: Accounts, logins: Sequence[int]) -> None:
    """Loads accounts that memory has not seen yet, with what their followers' settings say. Unknown ones get their place, too."""
    into.add(logins)
    rows = await _by_login(session, Account.__tablename__, ("login", "account_group", "currency", *FIGURES), logins)
    figures = [(1, into.groups.number(group), into.currencies.number(currency), *rest) for _, group, currency, *rest in rows]
    into.put([row[0] for row in rows], ("known", "group", "currency", *FIGURES), figures)
    settings = ("login", "enabled", "manual_trading_mode", "max_master_count")
    followers = [row for row in await _by_login(session, Follower.__tablename__, (*settings, "deleted"), logins) if not row[-1]]
    into.put([row[0] for row in followers], ("enabled", "manual_mode", "max_masters"), [row[1:-1] for row in followers])


def account_rows(known: Accounts, logins: Sequence[int]) -> list[Row]:
    """Accounts as their table has them."""
    if not logins:
        return []
    columns = [A[name] for name in ("group", "currency", *FIGURES)]
    figures = known.grid.data[np.array([known.place[login] for login in logins])[:, None], columns].tolist()
    groups, currencies = known.groups.all, known.currencies.all
    own = zip(logins, figures, strict=True)
    return [(login, groups[group], currencies[currency], *rest) for login, (group, currency, *rest) in own]


async def _by_login(session: AsyncSession, name: str, wanted: Sequence[str], logins: Sequence[int]) -> list[Row]:
    found: list[Row] = []
    for start in range(0, len(logins), IN_LIMIT):
        part = logins[start : start + IN_LIMIT]
        marks = ", ".join("?" * len(part))
        found += await direct.fetch(session, f'SELECT {_names(wanted)} FROM "{name}" WHERE login IN ({marks})', part)  # noqa: S608
    return found


def _names(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
