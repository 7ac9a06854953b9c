"""Writes many rows with the driver's own executemany.

A period ends for everybody at once, and binding the values is most of what a row costs.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from shared.store.engine import ExactDecimal, ScaledDecimal
from sqlalchemy import Column, String, Table
from sqlalchemy.ext.asyncio import AsyncSession


async def insert_many(session: AsyncSession, table: Table, rows: Sequence[Any], names: Sequence[str], clash: str = "") -> None:
    """Inserts one row for each object, its attributes `names` in the columns of those names; `clash` is the ON CONFLICT clause."""
    if rows:
        quoted, marks = ", ".join(_quoted(names)), ", ".join([_mark(session)] * len(names))
        statement = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({marks}) {clash}'  # noqa: S608  (names of our own columns)
        await _many(session, statement, _bound(rows, [table.c[name] for name in names], names))


async def put_many(session: AsyncSession, table: Table, rows: Sequence[Any], names: Sequence[str]) -> None:
    """Inserts rows, or replaces the other columns of those that are there, by primary key."""
    keys = [column.name for column in table.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in _quoted(name for name in names if name not in keys))
    await insert_many(session, table, rows, names, f"ON CONFLICT ({', '.join(_quoted(keys))}) DO UPDATE SET {sets}")


async def update_many(session: AsyncSession, table: Table, rows: Sequence[Any], names: Sequence[str], key: str) -> None:
    """Sets the columns `names` of the rows that are told apart by the column `key`."""
    if rows:
        mark, columns = _mark(session), [*names, key]
        sets = ", ".join(f"{name} = {mark}" for name in _quoted(names))
        statement = f'UPDATE "{table.name}" SET {sets} WHERE "{key}" = {mark}'  # noqa: S608  (names of our own columns)
        await _many(session, statement, _bound(rows, [table.c[name] for name in columns], columns))


def _bound(rows: Iterable[Any], columns: Sequence[Column[Any]], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The objects' values as the driver wants them, what is not plain converted column by column."""
    converters = [_converter(column) for column in columns]

    def bound(values: Iterable[Any]) -> tuple[Any, ...]:
        pairs = zip(converters, values, strict=True)
        return tuple([value if turn is None or value is None else turn(value) for turn, value in pairs])

    return [bound(values) for values in map(attrgetter(*names), rows)]


def _converter(column: Column[Any]) -> Callable[[Any], Any] | None:
    kind = column.type
    if isinstance(kind, ExactDecimal):
        return _plain_digits
    if isinstance(kind, ScaledDecimal):
        return lambda value: kind.process_bind_param(value, None)  # type: ignore[arg-type]
    return str if isinstance(kind, String) else None


def _plain_digits(value: Any) -> str:
    return format(value, "f")


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _mark(session: AsyncSession) -> str:
    return "?" if session.get_bind().dialect.name == "sqlite" else "%s"


async def _many(session: AsyncSession, statement: str, values: list[tuple[Any, ...]]) -> None:
    connection = await session.connection()
    await connection.exec_driver_sql(statement, values)
