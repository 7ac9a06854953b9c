"""Engines for SQLite and Postgres, and the column types that keep amounts exact."""

import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Dialect, String, TypeDecorator, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.money import EXACT

AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
"""How a store is away, or has no connection free: the same is tried again later."""
SCALE = 8
READ_ONLY = {"lockstep_read_only": True}
CHECKPOINT = "wal_autocheckpoint=8000"
"""Pages (32 MB) of SQLite's write-ahead log after which a commit copies them into the database: rarer than its default, since the commit
that does it takes ten times as long."""
CACHE = "cache_size=-8000"
"""8 MB of pages for each connection; the system's own cache has the rest."""
LAST_USED_FIRST = {"pool_use_lifo": True}
"""The connection that was used last has the pages that are wanted next. Taken in turns, each of a handful would keep them all."""
INSTANCE = f"lockstep-{secrets.token_hex(8)}"
"""This process, as Postgres sees it (`application_name`)."""


class ScaledDecimal(TypeDecorator[Decimal]):
    """A Decimal with up to 8 places, kept as an integer of 1e-8 units: exact, and sorted by the database on SQLite as on Postgres.

    Holds up to 92 billion in either direction; what does not fit without rounding is refused.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        scaled = Decimal(value).scaleb(SCALE, context=EXACT)
        units = int(scaled)
        if units != scaled:
            raise ValueError(f"{value} has more than {SCALE} decimal places")
        if abs(units) >= 2**63:
            raise ValueError(f"{value} is too large")
        return units

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        return Decimal(value).scaleb(-SCALE, context=EXACT)


class ExactDecimal(TypeDecorator[Decimal]):
    """A Decimal with all its places, kept as text: for sums that must not be rounded yet. Not for sorting."""

    impl = String(80)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format(Decimal(value), "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


def database_url(url: str, *, sync: bool = False) -> URL:
    """The URL with the driver that Lockstep uses: aiosqlite (sqlite3 when `sync`) or psycopg 3."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite" if sync else "sqlite+aiosqlite")
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"LOCKSTEP_DATABASE_URL: {other} is neither sqlite nor postgresql")


def create_engine(url: str, **sqlite_options: Any) -> AsyncEngine:
    """An engine on which what is committed is durable (SQLite: WAL, `synchronous=FULL`, writers take the lock when they begin).

    `sqlite_options` are SQLAlchemy's, for an engine over connections of somebody's own.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite":
        named = {"application_name": INSTANCE}
        return create_async_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=named)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        sqlite_options = LAST_USED_FIRST | sqlite_options
    engine = create_async_engine(parsed, **sqlite_options)

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000", CACHE, CHECKPOINT):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could be refused in between: a writer takes the lock at once.
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("lockstep_read_only") else "BEGIN IMMEDIATE")

    return engine
