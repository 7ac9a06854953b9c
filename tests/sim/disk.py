"""SQLite in memory without threads: what survives when a simulated service stops, and the places where it may stop.

SQLAlchemy's asynchronous SQLite dialect runs on connections that answer at once, in the calling thread: a run is the same each time, and
fast. A statement, a commit and a roll-back are all the same as on a file; a stop before a commit leaves nothing behind, one after it all.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from shared.store.engine import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import StaticPool

from tests.loopback import migrated

Seam = Callable[[str, str], None]
"""Called with a service and the name of a place where it may stop: raises when it does."""

WRITES = ("INSERT", "UPDATE", "DELETE")
_present: dict[str, "Disk"] = {}


class Disk:
    """A service's database. It outlives the service's engine, connections and memory."""

    def __init__(self, service: str, seam: Seam, image: bytes) -> None:
        self.service = service
        self.seam = seam
        self.commits = 0
        self.raw = sqlite3.connect(":memory:", check_same_thread=False)
        self.raw.isolation_level = None
        self.raw.deserialize(image)
        self.raw.execute("PRAGMA foreign_keys=ON")
        _present[service] = self

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a look from outside sees."""
        return self.raw.execute(statement, values).fetchall()

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

    async def connect() -> _Connection:
        return _Connection(service)

    return create_engine("sqlite:///:memory:", async_creator=connect, poolclass=StaticPool)


class _Connection:
    """What the dialect asks of an `aiosqlite.Connection`; to whatever disk the service has now."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._tx = _AtOnce()
        self.writing = False

    @property
    def disk(self) -> Disk:
        return _present[self._service]

    @property
    def _conn(self) -> sqlite3.Connection:
        return self.disk.raw

    _connection = _conn

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self._conn.create_function(*arguments, **options)

    def cursor(self) -> "_Cursor":
        return _Cursor(self, self._conn.cursor())

    async def commit(self) -> None:
        if not self.writing:
            self._conn.commit()
            return
        self.disk.seam(self._service, "before commit")
        self._conn.commit()
        self.writing = False
        self.disk.commits += 1
        self.disk.seam(self._service, "after commit")

    async def rollback(self) -> None:
        self.writing = False
        self._conn.rollback()

    async def close(self) -> None:
        await self.rollback()

    def stop(self) -> None:
        self.writing = False
        self._conn.rollback()


class _AtOnce:
    """The queue to the connection's thread, without the thread."""

    def put_nowait(self, item: tuple[Any, Callable[[], Any]]) -> None:
        future, function = item
        future.set_result(function())


class _Cursor:
    """What the dialect asks of an `aiosqlite.Cursor`."""

    def __init__(self, connection: _Connection, raw: sqlite3.Cursor) -> None:
        self._connection = connection
        self._raw = raw
        self.arraysize = 1

    async def __aenter__(self) -> "_Cursor":
        return self

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> "_Cursor":
        if statement.startswith("BEGIN"):
            self._connection.writing = statement == "BEGIN IMMEDIATE"
        elif statement.startswith(WRITES):
            self._connection.disk.seam(self._connection.disk.service, "statement")
        self._raw.execute(statement, values)
        return self

    async def executemany(self, statement: str, values: Sequence[Sequence[Any]]) -> "_Cursor":
        self._connection.disk.seam(self._connection.disk.service, "statement")
        self._raw.executemany(statement, values)
        return self

    async def fetchall(self) -> list[Any]:
        return self._raw.fetchall()

    async def close(self) -> None:
        self._raw.close()

    @property
    def description(self) -> Any:
        return self._raw.description

    @property
    def rowcount(self) -> int:
        return self._raw.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._raw.lastrowid
