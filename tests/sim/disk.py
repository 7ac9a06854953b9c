"""SQLite in memory without threads: what survives when a simulated service stops, and the places where it may stop.

SQLAlchemy's asynchronous SQLite dialect runs on connections that answer at once, in the calling thread, and without the greenlets that
wait for others: a run is the same each time, and fast. A statement, a commit and a roll-back are all the same as on a file; a stop before
a commit leaves nothing behind, one after it all.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

import aiosqlite
from shared.store.engine import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import engine as sqlalchemy_engine
from sqlalchemy.ext.asyncio import result as sqlalchemy_result
from sqlalchemy.ext.asyncio import session as sqlalchemy_session
from sqlalchemy.pool import StaticPool
from sqlalchemy.util.concurrency import greenlet_spawn

from tests.stores import migrated

Seam = Callable[[str, str], None]
"""Called with a service and the name of a place where it may stop: raises when it does."""

WRITES = ("INSERT", "UPDATE", "DELETE")
STATEMENTS_KEPT = 1000
_present: dict[str, "Disk"] = {}


class Disk:
    """A service's database. It outlives the service's engine, connections and memory."""

    def __init__(self, service: str, seam: Seam, image: bytes) -> None:
        self.service = service
        self.seam = seam
        self.commits = 0
        self.writing = False
        self.raw = sqlite3.connect(":memory:", check_same_thread=False, cached_statements=STATEMENTS_KEPT)
        self.raw.isolation_level = None
        self.raw.deserialize(image)
        self.raw.execute("PRAGMA foreign_keys=ON")
        _present[service] = self

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a look from outside sees."""
        return self.raw.execute(statement, values).fetchall()

    def begin_to_write(self, statement: str) -> None:
        """The seam at a statement that writes."""
        if statement.lstrip().startswith(WRITES):
            self.seam(self.service, "statement")

    def commit(self) -> None:
        """Commits; its seams are those of a transaction that may have written."""
        if not self.writing:
            self.raw.commit()
            return
        self.seam(self.service, "before commit")
        self.raw.commit()
        self.writing = False
        self.commits += 1
        self.seam(self.service, "after commit")

    def rollback(self) -> None:
        self.writing = False
        self.raw.rollback()

    def image(self) -> bytes:
        return self.raw.serialize()

    def close(self) -> None:
        self.raw.close()


def blank(service: str) -> bytes:
    """A migrated store; marked as one without a write-ahead log, which memory has no use for."""
    image = bytearray(migrated(service))
    image[18] = image[19] = 1
    return bytes(image)


@cache
def engine(service: str) -> AsyncEngine:
    """The engine over whatever disk the service has now: statements are compiled once for all runs."""
    made = create_engine("sqlite:///:memory:", creator=lambda: _Connection(service), poolclass=StaticPool)
    with contextlib.suppress(StopIteration):  # the first connection is made under a lock of greenlets, which nobody holds
        greenlet_spawn(lambda: made.sync_engine.connect().close()).send(None)
    return made


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """SQLAlchemy's asynchronous front calls its synchronous core straight away: nothing here ever waits for a database."""

    async def call(function: Callable[..., Any], *arguments: Any, _require_await: bool = False, **options: Any) -> Any:
        return function(*arguments, **options)

    with contextlib.ExitStack() as patched:
        for module in (sqlalchemy_engine, sqlalchemy_result, sqlalchemy_session):
            patched.enter_context(patch.object(module, "greenlet_spawn", call))
        yield


class _Connection:
    """A connection as SQLAlchemy's core uses it, to whatever disk the service has now."""

    isolation_level = None

    def __init__(self, service: str) -> None:
        self._service = service
        self._connection = _Driver(service)
        """What `shared.store.direct` goes straight to."""

    def create_function(self, *arguments: Any, **options: Any) -> None:
        _present[self._service].raw.create_function(*arguments, **options)

    def cursor(self) -> "_Cursor":
        disk = _present[self._service]
        cursor = disk.raw.cursor(_Cursor)
        cursor.disk = disk
        return cursor

    def commit(self) -> None:
        _present[self._service].commit()

    def rollback(self) -> None:
        _present[self._service].rollback()

    close = terminate = rollback


class _Driver(aiosqlite.Connection):
    """The same as the driver's own connection, of which `shared.store.direct` asks two things."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._connection = None

    async def execute_fetchall(self, sql: str, parameters: Iterable[Any] | None = None) -> Any:
        disk = _present[self._service]
        disk.begin_to_write(sql)
        return disk.raw.execute(sql, tuple(parameters or ())).fetchall()

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Any:
        disk = _present[self._service]
        disk.begin_to_write(sql)
        return disk.raw.executemany(sql, parameters)


class _Cursor(sqlite3.Cursor):
    disk: Disk

    def execute(self, statement: str, values: Any = ()) -> "_Cursor":
        if statement.startswith("BEGIN"):
            self.disk.writing = statement == "BEGIN IMMEDIATE"
        else:
            self.disk.begin_to_write(statement)
        return super().execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> "_Cursor":
        self.disk.begin_to_write(statement)
        return super().executemany(statement, rows)

    async def _async_soft_close(self) -> None:
        """Its rows were fetched when it was executed."""
