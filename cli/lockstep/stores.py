"""The services' stores, looked at from outside: where they are, their versions, and the letters that they could not handle."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from shared.shards import Shard, numbered
from shared.store import migrate, outbox
from shared.store.engine import create_engine, database_url
from sqlalchemy import inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from lockstep.stack import STORED, Home, StackError

LOOK_EVERY_S = 0.2
ASIDE = ".db.before-reshard"
"""What a store is kept as whose place another one took."""


@dataclass(frozen=True, slots=True)
class ServiceStore:
    """One service's store, or one of its shards'."""

    service: str
    url: str
    number: int = 1

    @property
    def name(self) -> str:
        """What a person calls it by: `executor`, or `executor.2`."""
        return numbered(self.service, self.number)

    def exists(self) -> bool:
        """Whether there is something to look at: a SQLite file that is not there must not be made by looking."""
        parsed = database_url(self.url)
        return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").exists()

    def versions(self) -> tuple[str | None, str | None]:
        """The version that the store has, and the one that the code wants."""
        if self.exists():
            with self._readable():
                return migrate.current(self.service, self.url)
        return None, ScriptDirectory.from_config(migrate.configuration(self.service, self.url)).get_current_head()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A transaction on the store, committed at the end. Raises StackError when the store cannot be read."""
        engine = create_engine(self.url)
        try:
            with self._readable():
                async with async_sessionmaker(engine, expire_on_commit=False).begin() as session:
                    yield session
        finally:
            await engine.dispose()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StackError(f"{self.name}'s store cannot be read: {error.orig}") from error


def stores(home: Home, service: str | None = None, url: str | None = None) -> list[ServiceStore]:
    """The stores that are meant: all of a home, those of one service, or one by its URL. Raises StackError for what makes no sense.

    A service that has shards has a store for each.
    """
    if service is not None and service not in STORED:
        raise StackError(f"{service} is no service; there are {', '.join(STORED)}")
    if url:
        if service is None:
            raise StackError("--database-url needs --service: say whose store it is")
        return [ServiceStore(service, url)]
    wanted = [service] if service else STORED
    return [
        ServiceStore(name, f"sqlite:///{file}", number) for name in wanted for number, file in enumerate(store_files(home.path, name), 1)
    ]


def stores_of_letter(home: Home, name: str, url: str | None = None) -> list[ServiceStore]:
    """The stores of the service that a letter's name (`executor:1`, `executor.2:1`) says. Raises StackError as `stores` does."""
    service, _, number = name.partition(":")[0].partition(".")
    found = stores(home, service, url)
    return [replace(store, number=int(number)) for store in found] if url and number.isdecimal() else found


def store_files(home: Path, service: str) -> list[Path]:
    """The files of a service's stores, the first one whether it is there or not; a shard that is no more may have left one, too."""
    files = [home / f"{service}.db"]
    while (further := home / f"{numbered(service, len(files) + 1)}.db").exists():
        files.append(further)
    return files


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter under the name that a person calls it by: `SERVICE:ID`, `executor.2:7` of a shard."""

    store: str
    letter: outbox.DeadLetter

    @property
    def name(self) -> str:
        return f"{self.store}:{self.letter.id}"

    @property
    def state(self) -> str:
        if self.letter.retried_ms is not None:
            return "retried"
        return "asked for again" if self.letter.retry_requested_ms is not None else "dead"

    def raw(self) -> dict[str, Any]:
        return {"name": self.name, "service": self.store, "state": self.state} | self.letter._asdict()


async def dead_letters(of: Sequence[ServiceStore], *, retried: bool = False, limit: int = 100) -> list[Letter]:
    """The letters of these stores, oldest first in each; those already retried only when asked for."""
    found: list[Letter] = []
    for store in of:
        if not store.exists():
            continue
        async with store.session() as session:
            if not await _has_letters(session):
                continue
            rows = await outbox.dead_letters(session, retried=retried, limit=limit)
            found += [Letter(store.name, outbox.DeadLetter(**row)) for row in rows]
    return found


async def dead_letter(of: Sequence[ServiceStore], name: str) -> tuple[ServiceStore, Letter]:
    """The letter with that name. Raises StackError when there is none."""
    service, _, number = name.partition(":")
    store = next((store for store in of if store.name == service), None)
    if store is not None and store.exists() and number.isascii() and number.isdigit():
        async with store.session() as session:
            if await _has_letters(session):
                row = (await session.execute(select(outbox.dead_letter).where(outbox.dead_letter.c.id == int(number)))).one_or_none()
                if row is not None:
                    return store, Letter(store.name, outbox.DeadLetter(*row))
    raise StackError(f"there is no dead letter {name}; `lockstep dead-letters list` shows what there is, named SERVICE:ID")


async def retry(of: Sequence[ServiceStore], name: str, wait_s: float) -> Letter:
    """Asks the letter's service to handle it again, and waits for what comes of it; a service that is down does it when it is up again.

    Raises StackError when the letter was handled already.
    """
    store, _ = await dead_letter(of, name)
    async with store.session() as session:
        asked = await outbox.request_retry(session, int(name.partition(":")[2]), time.time_ns() // 1_000_000)
    if not asked:
        raise StackError(f"{name} was retried already")
    until = time.monotonic() + wait_s
    while True:
        _, letter = await dead_letter(of, name)
        if letter.letter.retry_requested_ms is None or letter.letter.retried_ms is not None or time.monotonic() >= until:
            return letter
        await asyncio.sleep(LOOK_EVERY_S)


async def discard(of: Sequence[ServiceStore], name: str) -> Letter:
    """Throws a letter away and answers what it was. Raises StackError when there is none."""
    store, letter = await dead_letter(of, name)
    async with store.session() as session:
        await outbox.discard(session, letter.letter.id)
    return letter


async def _has_letters(session: AsyncSession) -> bool:
    connection = await session.connection()
    return bool(await connection.run_sync(lambda sync: inspect(sync).has_table(outbox.dead_letter.name)))


def upgraded(of: Sequence[ServiceStore]) -> Iterator[tuple[ServiceStore, str | None, str | None]]:
    """Brings each store up to date in turn, and tells the version that it had and the one that it has."""
    for store in of:
        before, _ = store.versions()
        migrate.upgrade(store.service, store.url)
        yield store, before, store.versions()[0]


def shards_of(home: Path, service: str) -> int:
    """How many shards a home's service has, as its first store says; 0 before its first start."""
    first = store_files(home, service)[0]
    return Shard.parse(_identity(first) or "1/1").of if first.exists() else 0


def put_back(home: Path) -> None:
    """Undoes what a move to another number of shards had put in place when it was cut off: the first store says how many there are.

    Nobody may work on the stores.
    """
    for service in ("executor", "rewards"):
        known = shards_of(home, service)
        for number in range(2, known + 1):
            file = home / f"{numbered(service, number)}.db"
            aside, own = file.with_suffix(ASIDE), str(Shard(number, known))
            if file.exists() and aside.exists() and _identity(file) != own and _identity(aside) == own:
                aside.replace(file)


def sharded(home: Home, executor: int | None, rewards: int | None) -> tuple[int, int]:
    """With how many shards each service is started: as wanted, else as its stores are. Raises StackError when these are otherwise."""
    found = []
    for service, wanted in (("executor", executor), ("rewards", rewards)):
        known = shards_of(home.path, service)
        if known and wanted not in {None, known}:
            raise StackError(
                f"{service} has {known} shards in {home.path}: `lockstep reshard {service} --shards {wanted}` moves its followers"
            )
        found.append(wanted or known or 1)
    return found[0], found[1]


def _identity(file: Path) -> str | None:
    """What a SQLite store was told to be; None of one that was never opened."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            row = connection.execute("SELECT value FROM log_identity WHERE name = 'shard'").fetchone()
        except sqlite3.OperationalError:
            return None
    return row[0] if row else None
