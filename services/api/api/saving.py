"""How rows of the read models are written: many at once, each with the number of its change."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from shared.money import quantize
from shared.store import direct
from shared.store.engine import SCALE, ExactDecimal, ScaledDecimal
from sqlalchemy import Table, bindparam, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.tables import Base, table_of

LARGEST = Decimal(9) * 10**10
"""The most that a column of 1e-8 holds: larger than any account, and than anything that somebody filters by."""
TAKE_CHANGES = """
INSERT INTO change_counter (id, last, floor) VALUES (1, ?, 0)
ON CONFLICT (id) DO UPDATE SET last = change_counter.last + ? RETURNING last
"""


async def save_rows(session: AsyncSession, model: type[Base], rows: list[dict[str, Any]], keep_when_empty: tuple[str, ...] = ()) -> None:
    """Writes rows of a read model, in bulk, over what is there. Where a `keep_when_empty` column comes empty, the old value stays.

    By the driver's own executemany: a fan-out's fills are tens of thousands of rows, and a session takes longer for each than the store.
    """
    if not rows:
        return
    table = table_of(model)
    if "change_id" in table.c:
        rows = await numbered(session, rows)
    statement, values = _writer(table, tuple(rows[0]), keep_when_empty)
    await direct.many(session, statement, [values(row) for row in rows])


@cache
def _writer(table: Table, names: tuple[str, ...], kept: tuple[str, ...]) -> tuple[str, Callable[[dict[str, Any]], Sequence[Any]]]:
    """An insert with these columns over what is there, and what turns a row into its values: made once."""
    keys = [column.name for column in table.primary_key]
    fresh = {name: f'excluded."{name}"' for name in names if name not in keys}
    fresh |= {name: f'coalesce(nullif(excluded."{name}", \'\'), "{table.name}"."{name}")' for name in kept}
    sets, quoted = ", ".join(f'"{name}" = {value}' for name, value in fresh.items()), ", ".join(f'"{name}"' for name in names)
    marks, key = ", ".join("?" * len(names)), ", ".join(f'"{name}"' for name in keys)
    statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {sets}'  # noqa: S608
    amounts = [place for place, name in enumerate(names) if isinstance(table.c[name].type, ScaledDecimal)]
    texts = [place for place, name in enumerate(names) if isinstance(table.c[name].type, ExactDecimal)]
    each = itemgetter(*names)

    def values(row: dict[str, Any]) -> Sequence[Any]:
        made = list(each(row))
        for place in amounts:
            made[place] = units(made[place])
        for place in texts:
            made[place] = format(made[place], "f")
        return made

    return statement, values


@lru_cache(maxsize=8192)
def units(value: Decimal | None) -> int | None:
    """An amount as a column of 1e-8 has it."""
    return None if value is None else int(bounded(value).scaleb(SCALE))


def bounded(value: Decimal) -> Decimal:
    """An amount as it is taken over: what is shown has 8 places at most (what is charged was rounded before), and what no column holds is
    the most that one does, so that one account's price spike or one master's gain on next to nothing does not keep the others' rows out."""
    return quantize(max(-LARGEST, min(LARGEST, value)), SCALE)


async def change_rows(session: AsyncSession, model: type[Base], where: Any, values: Any, rows: list[dict[str, Any]]) -> None:
    """One update for many rows, with bound parameters."""
    if not rows:
        return
    if "change_id" in table_of(model).c:
        rows = await numbered(session, rows, "new_change")
        values = values | {"change_id": bindparam("new_change")}
    connection = await session.connection()
    await connection.execute(update(table_of(model)).where(where).values(values), rows)


async def numbered(session: AsyncSession, rows: list[dict[str, Any]], name: str = "change_id") -> list[dict[str, Any]]:
    """Gives each of the rows the number of its change."""
    ((last,),) = await direct.fetch(session, TAKE_CHANGES, (len(rows), len(rows)))
    for number, row in enumerate(rows, last - len(rows) + 1):
        row[name] = number
    return rows
