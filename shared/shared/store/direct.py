"""Statements straight to the driver: for the few that every unit of work runs, and for thousands of rows at once.

On SQLite a statement is one trip to the connection's thread; SQLAlchemy makes three or four of it, each of which waits for its turn.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import aiosqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

Row = Sequence[Any]


async def fetch(session: AsyncSession, statement: str, parameters: Row = ()) -> list[tuple[Any, ...]]:
    """Runs a statement, whose parameters are marked with `?`, and answers its rows. Raises SQLAlchemy's DBAPIError, as a session does."""
    connection = await session.connection()
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, aiosqlite.Connection):
        found = await connection.exec_driver_sql(_marked(session, statement), tuple(parameters))
        return [tuple(row) for row in found] if found.returns_rows else []
    try:
        return [tuple(row) for row in await driver.execute_fetchall(statement, parameters)]
    except sqlite3.Error as fault:
        raise _wrapped(session, statement, fault) from fault


async def many(session: AsyncSession, statement: str, rows: Sequence[Row]) -> None:
    """Runs a statement for each of the rows. Raises SQLAlchemy's DBAPIError, as a session does."""
    connection = await session.connection()
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, aiosqlite.Connection):
        await connection.exec_driver_sql(_marked(session, statement), [tuple(row) for row in rows])
        return
    try:
        await driver.executemany(statement, rows)
    except sqlite3.Error as fault:
        raise _wrapped(session, statement, fault) from fault


def _marked(session: AsyncSession, statement: str) -> str:
    return statement if session.get_bind().dialect.name == "sqlite" else statement.replace("?", "%s")


def _wrapped(session: AsyncSession, statement: str, fault: sqlite3.Error) -> BaseException:
    """The fault as a session would have raised it: whoever waits for its surroundings knows it by that."""
    return DBAPIError.instance(statement, None, fault, sqlite3.Error, dialect=session.get_bind().dialect)
